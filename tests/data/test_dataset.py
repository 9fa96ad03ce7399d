"""Batches: each image as often as it should be, and the same whoever makes them."""

from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice

import pytest
import torch

from sd_scripts.data import dataset
from sd_scripts.data.cache import World
from sd_scripts.errors import UserError

FIELDS = ("captions", "image_keys", "epoch", "position", "original_sizes_hw", "crop_top_lefts", "target_sizes_hw")
DRAWN = {
    "shuffle_caption": True, "flip_aug": True, "random_crop": True, "color_aug": True, "caption_dropout_rate": 0.2,
}  # fmt: skip


def assert_same(one, other):
    for field in FIELDS:
        assert getattr(one, field) == getattr(other, field)
    for field in ("pixels_BCHW", "latents_BCHW", "weights_B", "masks_B1HW"):
        first, second = getattr(one, field), getattr(other, field)
        assert (first is None) == (second is None)
        assert first is None or torch.equal(first, second)


@pytest.fixture
def folders(picture):
    """Eleven images in three sizes, in two folders."""
    for number, size in enumerate([(64, 64)] * 5 + [(96, 48)] * 3):
        picture(f"3_cat/{number}.png", size, caption=f"cat, {number}, a, b, c")
    for number in range(3):
        picture(f"2_dog/{number}.png", (48, 96), caption=f"dog, {number}, a, b, c")


@pytest.fixture
def batches(folders, config):
    from sd_scripts import plan

    def make(world=None, **settings):
        made = config(train_batch_size=2, max_data_loader_n_workers=0, **settings)
        return dataset.build(made, plan.make(made), None, world)

    return make


def epoch_of(batches, epoch):
    return list(islice(batches.after(epoch, 0), batches.per_epoch))


class TestCounting:
    def test_every_image_comes_exactly_as_often_as_its_repeats(self, batches):
        made = batches()
        for epoch in range(3):
            counts = Counter(key for batch in epoch_of(made, epoch) for key in batch.image_keys)
            assert set(counts.values()) == {3, 2}
            assert all(count == (3 if "3_cat" in key else 2) for key, count in counts.items())
            assert len(counts) == 11

    def test_batches_never_mix_sizes_and_the_last_of_each_is_smaller(self, batches):
        made = epoch_of(batches(), 0)
        assert len(made) == 8 + 5 + 3  # 15, 9 and 6 samples
        assert sorted(len(batch.captions) for batch in made) == [1, 1] + [2] * 14
        assert {tuple(batch.pixels_BCHW.shape[1:]) for batch in made} == {(3, 64, 64), (3, 48, 80), (3, 80, 48)}

    def test_the_order_differs_by_epoch_and_by_seed(self, batches):
        def order(made, epoch):
            return [batch.image_keys for batch in epoch_of(made, epoch)]

        made = batches()
        assert order(made, 0) == order(batches(), 0)
        assert order(made, 0) != order(made, 1)
        assert order(made, 0) != order(batches(seed=8), 0)

    def test_eight_images_at_batch_two_are_complete_in_every_epoch_with_workers(self, picture, config):
        """The reference misses two or three of them in each epoch."""
        from sd_scripts import plan

        for number in range(8):
            picture(f"1_cat/{number}.png")
        made = config(train_batch_size=2, max_data_loader_n_workers=2, persistent_data_loader_workers=True)
        stream = dataset.build(made, plan.make(made)).after(0, 0)
        for _ in range(3):
            keys = [key for batch in islice(stream, 4) for key in batch.image_keys]
            assert len(set(keys)) == 8


class TestSameness:
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    @pytest.mark.parametrize("persistent", [False, True])
    def test_workers_make_no_difference(self, batches, folders, config, persistent):
        from sd_scripts import plan

        made = config(
            train_batch_size=2, max_data_loader_n_workers=2, persistent_data_loader_workers=persistent, **DRAWN
        )
        parallel = dataset.build(made, plan.make(made))
        assert parallel._workers == 2
        for one, other in zip(islice(parallel.after(0, 3), 30), batches(**DRAWN).after(0, 3), strict=False):
            assert_same(one, other)

    @pytest.mark.parametrize("epoch, done", [(0, 1), (0, 15), (1, 0), (2, 7)])
    def test_going_on_from_anywhere_gives_what_would_have_come(self, batches, epoch, done):
        made = batches(**DRAWN)
        whole = list(islice(made.after(0, 0), 3 * made.per_epoch))
        rest = islice(batches(**DRAWN).after(epoch, done), 5)
        for one, other in zip(whole[epoch * made.per_epoch + done :], rest, strict=False):
            assert_same(one, other)

    def test_equal_samples_of_an_epoch_are_drawn_anew(self, batches):
        captions: dict[str, set[str]] = {}
        made = batches(shuffle_caption=True)
        for epoch in range(5):
            for batch in epoch_of(made, epoch):
                for key, caption in zip(batch.image_keys, batch.captions, strict=True):
                    captions.setdefault(key, set()).add(caption)
        assert min(map(len, captions.values())) > 3

    def test_flips_are_half_of_the_reads(self, batches):
        made, plain = batches(flip_aug=True), batches()
        flipped = total = 0
        for epoch in range(4):
            for one, other in zip(epoch_of(made, epoch), epoch_of(plain, epoch), strict=True):
                for mine, theirs in zip(one.pixels_BCHW, other.pixels_BCHW, strict=True):
                    assert torch.equal(mine, theirs) or torch.equal(mine, theirs.flip(2))
                    flipped, total = flipped + (not torch.equal(mine, theirs)), total + 1
        assert 0.3 < flipped / total < 0.7

    def test_batches_travel_to_other_processes(self, batches):
        made = batches()
        maker = pickle.loads(pickle.dumps(made._maker))
        assert_same(maker.make((1, 2)), made._maker.make((1, 2)))


class TestProcesses:
    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_all_have_the_same_number_of_batches_and_each_image_counts_once(self, batches, size):
        made = [batches(World(rank, size)) for rank in range(size)]
        assert {one.per_epoch for one in made} == {-(-16 // size)}
        counts: Counter[str] = Counter()
        for one in made:
            for batch in epoch_of(one, 0):
                if batch.weights_B[0]:
                    counts.update(batch.image_keys)
        assert all(count == (3 if "3_cat" in key else 2) for key, count in counts.items()) and len(counts) == 11

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_the_mean_over_processes_is_that_of_the_batches_that_count(self, batches, size):
        shares = zip(*(epoch_of(batches(World(rank, size)), 0) for rank in range(size)), strict=True)
        for step in shares:
            weights = [float(batch.weights_B[0]) for batch in step]
            assert sum(weights) / size == pytest.approx(1.0)

    def test_positions_follow_each_other_across_processes(self, batches):
        one, two = (epoch_of(batches(World(rank, 2)), 0) for rank in range(2))
        assert [batch.position for batch in one] == list(range(0, 16, 2))
        assert [batch.position for batch in two] == list(range(1, 16, 2))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_broken_picture_is_named_in_one_sentence_even_from_a_worker(picture, config, workers):
    from sd_scripts import plan

    file = picture("1_x/a.png")
    made = config(max_data_loader_n_workers=workers)
    batches = dataset.build(made, plan.make(made))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError) as caught:
        next(batches.after(0, 0))
    assert str(caught.value) == (
        f"The image {file} is broken or can't be read; replace it or take it out of the folder."
    )


def test_regularization_images_weigh_as_asked_for(picture, config, tmp_path):
    from sd_scripts import plan

    picture("2_cat/a.png")
    picture("reg/1_cat/b.png")
    made = config(reg_data_dir=str(tmp_path / "images" / "reg"), prior_loss_weight=0.25)
    weights = {}
    for batch in epoch_of(dataset.build(made, plan.make(made)), 0):
        weights[batch.image_keys[0][-5:]] = batch.weights_B.tolist()
    assert weights == {"a.png": [1.0], "b.png": [0.25]}


def test_the_caption_warm_up_follows_the_steps(picture, config):
    from sd_scripts import plan

    for number in range(4):
        picture(f"1_x/{number}.png", caption="a, b, c, d, e")
    made = config(token_warmup_step=4, max_train_epochs=3, gradient_accumulation_steps=2, max_data_loader_n_workers=0)
    batches = dataset.build(made, plan.make(made))
    counts = [len(batch.captions[0].split(",")) for batch in islice(batches.after(0, 0), 12)]
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]


def test_epochs_without_captions_hit_the_right_batches(picture, config):
    from sd_scripts import plan

    picture("4_x/a.png", caption="a")
    made = config(caption_dropout_every_n_epochs=2, max_data_loader_n_workers=0)
    batches = dataset.build(made, plan.make(made))
    captions = [batch.captions[0] for batch in islice(batches.after(0, 0), 16)]
    assert captions == ["a"] * 4 + [""] * 4 + ["a"] * 4 + [""] * 4


def test_validation_is_the_same_in_every_epoch_and_draws_nothing(folders, config):
    from sd_scripts import plan

    made = config(validation_split=0.4, train_batch_size=2, **DRAWN)
    batches = dataset.build_validation(made, plan.make(made))
    for one, other in zip(epoch_of(batches, 0), epoch_of(batches, 1), strict=True):
        assert one.captions == other.captions and torch.equal(one.pixels_BCHW, other.pixels_BCHW)
        assert all(caption.startswith(("cat, ", "dog, ")) for caption in one.captions)


def test_without_a_split_there_is_no_validation(batches, config):
    from sd_scripts import plan

    made = config()
    assert dataset.build_validation(made, plan.make(made)) is None
