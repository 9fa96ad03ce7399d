"""Repeats, regularization images, masks and the split for validation."""

from __future__ import annotations

import os

import pytest

from sd_scripts.data.records import repeated_for


def problems(plan):
    return [str(problem) for problem in plan.problems if problem.stops]


def notices(plan):
    return [str(problem) for problem in plan.problems if not problem.stops]


@pytest.mark.parametrize("wanted, repeats, result", [
    (6, [1, 1, 1], [2, 2, 2]),
    (7, [1, 1, 1], [3, 2, 2]),
    (3, [1, 1, 1], [1, 1, 1]),
    (2, [1, 1, 1], [1, 1, 0]),
    (5, [2, 2, 2], [2, 2, 2]),  # the third brings it above
    (10, [2, 1], [6, 4]),  # seven more in turn: four and three
    (0, [1, 1], [0, 0]),
    (4, [], []),
])  # fmt: skip
def test_regularization_images_are_repeated_until_they_match(wanted, repeats, result):
    assert repeated_for(wanted, repeats) == result


def test_regularization_images_come_from_their_own_folder(picture, planned, tmp_path):
    for name in "abc":
        picture(f"4_sks cat/{name}.png")
    for number in range(5):
        picture(f"reg/1_cat/{number}.png")
    plan = planned(reg_data_dir=str(tmp_path / "images" / "reg"))
    assert (plan.num_train_images, plan.num_reg_images) == (12, 12)
    assert {r.captions for r in plan.datasets[0].records if r.is_reg} == {("cat",)}


def test_unused_regularization_images_are_said(picture, planned, tmp_path):
    picture("1_sks cat/a.png")
    for number in range(3):
        picture(f"reg/1_cat/{number}.png")
    plan = planned(reg_data_dir=str(tmp_path / "images" / "reg"))
    assert plan.num_reg_images == 1
    assert (
        "reg_data_dir: 2 of 3 regularization images aren't used: the others are enough for the 1 samples of an epoch."
        in notices(plan)
    )


class TestMasks:
    def test_each_image_gets_the_mask_of_its_name(self, picture, planned):
        picture("1_cat/a.png")
        folder = picture("masks/a.jpg").parent
        plan = planned(conditioning_data_dir=str(folder), masked_loss=True)
        assert not problems(plan)
        assert plan.datasets[0].records[0].mask_path == folder / "a.jpg"

    def test_missing_and_surplus_masks_are_named(self, picture, planned):
        picture("1_cat/a.png")
        folder = picture("masks/b.png").parent
        assert problems(planned(conditioning_data_dir=str(folder), masked_loss=True)) == [
            f"conditioning_data_dir: a.png of 1_cat has no mask in {folder}; "
            "add one under the same name for each image.",
            f"conditioning_data_dir: b.png in {folder} belongs to no image; take out what isn't a mask.",
        ]

    def test_masks_that_are_cut_off_are_named_before_the_start(self, picture, planned):
        for number in range(22):
            picture(f"1_cat/{number:02}.png")
            mask = picture(f"masks/{number:02}.png", mode="L")
            os.truncate(mask, mask.stat().st_size - 100)
        for _ in range(2):
            sentences = problems(planned(conditioning_data_dir=str(mask.parent), masked_loss=True))
            assert len(sentences) == 21
            assert sentences[-2:] == [
                f"conditioning_data_dir: The image {mask.with_name('19.png')} is cut off; "
                "copy or download it again, or take it out of the folder.",
                f"conditioning_data_dir: 2 more files in {mask.parent} are broken.",
            ]

    def test_a_mask_folder_needs_masked_loss(self, picture, planned):
        picture("1_cat/a.png")
        assert problems(planned(conditioning_data_dir=str(picture("masks/a.png").parent))) == [
            "conditioning_data_dir: Masks need masked_loss; turn it on or leave the mask folder empty."
        ]

    def test_masked_loss_without_masks_has_no_effect(self, picture, planned):
        picture("1_cat/a.png", caption="x")
        assert notices(planned(masked_loss=True)) == [
            "masked_loss: It has no effect without conditioning_data_dir or alpha_mask."
        ]

    def test_masks_of_several_folders_lie_in_one(self, picture, planned):
        picture("1_cat/a.png")
        picture("1_dog/b.png")
        picture("masks/a.png")
        folder = picture("masks/b.png").parent
        assert not problems(planned(conditioning_data_dir=str(folder), masked_loss=True))


class TestSplit:
    @pytest.fixture(autouse=True)
    def ten_images(self, picture):
        for number in range(10):
            picture(f"3_cat/{number}.png")

    def names(self, plan):
        (data,) = plan.datasets
        return {r.path.name for r in data.records}, {r.path.name for r in data.validation}

    @pytest.mark.parametrize("share, many", [(0.1, 1), (0.25, 3), (0.5, 5), (0.99, 9)])
    def test_no_image_is_in_both_and_none_is_lost(self, planned, share, many):
        training, validation = self.names(planned(validation_split=share))
        assert len(validation) == many
        assert not training & validation and len(training | validation) == 10

    def test_the_seed_decides_and_its_own_wins(self, planned):
        chosen = {seed: self.names(planned(validation_split=0.3, seed=seed))[1] for seed in range(8)}
        assert len({frozenset(names) for names in chosen.values()}) > 1
        assert self.names(planned(validation_split=0.3, seed=3))[1] == chosen[3]
        assert self.names(planned(validation_split=0.3, seed=1, validation_seed=3))[1] == chosen[3]

    def test_images_held_out_come_once_and_are_not_counted_as_training(self, planned):
        plan = planned(validation_split=0.2)
        assert (plan.num_train_images, plan.num_validation_images) == (24, 2)
        assert {r.repeats for r in plan.datasets[0].validation} == {1}

    def test_regularization_images_are_never_held_out(self, picture, planned, tmp_path):
        for number in range(10):
            picture(f"reg/1_cat/{number}.png")
        plan = planned(validation_split=0.5, reg_data_dir=str(tmp_path / "images" / "reg"))
        assert not any(r.is_reg for r in plan.datasets[0].validation)

    def test_a_share_that_holds_out_nothing_is_said(self, planned):
        assert "validation_split: 0.01 of so few images is none, so there is no validation; raise it." in notices(
            planned(validation_split=0.01)
        )
