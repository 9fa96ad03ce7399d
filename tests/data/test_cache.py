"""Cached latents: encoded once, never stale, the same however they were made."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
import torch

from sd_scripts import plan
from sd_scripts.data import cache, dataset
from sd_scripts.data.cache import LatentsCache, Vae, World
from sd_scripts.data.cache_files import CacheProblem
from sd_scripts.data.headers import BadImage


class Encoder:
    """Counts what it encodes: the mean colour of 8 x 8 pixels, and noise from the image's own generator."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, pixels_BCHW, generators):
        self.sizes.append(len(pixels_BCHW))
        noise = torch.stack([torch.randn(3, 1, 1, generator=generator) for generator in generators])
        return torch.nn.functional.avg_pool2d(pixels_BCHW, 8) + noise

    @property
    def count(self) -> int:
        return sum(self.sizes)


@pytest.fixture
def filled(config):
    """Plans, fills a cache, and gives both with the encoder that was used."""

    def make(weights="w", world=None, family="sd", batch_size=1, **settings):
        settings = {"cache_latents": True, "max_data_loader_n_workers": 0, **settings}
        made = config(**settings)
        planned = plan.make(made)
        assert not [problem for problem in planned.problems if problem.stops]
        encoder = Encoder()
        on_disk = bool(settings.get("cache_latents_to_disk"))
        latents = LatentsCache(Vae(encoder, weights, family, batch_size), on_disk, made.dataset.skip_cache_check)
        latents.fill(dataset.records_of(planned), world=world)
        return made, planned, latents, encoder

    return make


@pytest.fixture
def three(picture):
    return [picture(f"2_x/{name}.png", (64, 64)) for name in "abc"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_batches_hold_what_was_encoded(three, filled, on_disk):
    made, planned, latents, encoder = filled(cache_latents_to_disk=on_disk)
    batches = dataset.build(made, planned, latents)
    assert encoder.count == 3
    for batch in islice(batches.after(0, 0), 6):
        assert batch.pixels_BCHW is None
        assert batch.latents_BCHW.shape == (1, 3, 8, 8)


def test_both_kinds_and_every_batch_size_give_the_same_latents(three, filled):
    kept = []
    for settings in ({}, {"cache_latents_to_disk": True}, {"batch_size": 2}, {"batch_size": 3}):
        _, planned, latents, _ = filled(**settings)
        kept.append([latents.get(record).latents for record in planned.datasets[0].records])
    for other in kept[1:]:
        for one, two in zip(kept[0], other, strict=True):
            assert torch.equal(one, two)


def test_pictures_are_encoded_together_up_to_the_batch_size_but_sizes_never_mix(three, picture, filled):
    picture("2_x/d.png", (96, 48))
    assert sorted(filled(batch_size=2)[3].sizes) == [1, 1, 2]


def test_latents_of_mirrored_pictures_are_kept_too(three, filled):
    made, planned, latents, encoder = filled(flip_aug=True)
    assert encoder.count == 6
    record = planned.datasets[0].records[0]
    kept = latents.get(record)
    found = set()
    for batch in islice(dataset.build(made, planned, latents).after(0, 0), 60):
        if batch.image_keys[0] == str(record.path):
            found.add("upright" if torch.equal(batch.latents_BCHW[0], kept.latents) else "mirrored")
            assert torch.equal(batch.latents_BCHW[0], kept.latents) or torch.equal(batch.latents_BCHW[0], kept.flipped)
    assert found == {"upright", "mirrored"}


class TestFiles:
    def test_they_have_the_names_and_fields_of_the_reference(self, picture, filled):
        image = picture("1_x/a.png", (96, 48))
        filled(cache_latents_to_disk=True, flip_aug=True, alpha_mask=True)
        with np.load(image.with_name("a_0096x0048_sd.npz")) as stored:
            assert {"latents", "original_size", "crop_ltrb", "latents_flipped", "alpha_mask"} < set(stored)
            assert stored["latents"].dtype == np.float32 and stored["latents"].shape == (3, 6, 10)
            assert stored["original_size"].tolist() == [96, 48]

    def test_a_second_run_encodes_nothing(self, three, filled):
        filled(cache_latents_to_disk=True)
        assert filled(cache_latents_to_disk=True)[3].count == 0

    @pytest.mark.parametrize("changed", [
        {"weights": "other"}, {"resolution": "80"}, {"flip_aug": True}, {"alpha_mask": True},
        {"resize_interpolation": "nearest", "resolution": "80"},
    ])  # fmt: skip
    def test_another_vae_size_or_setting_encodes_anew(self, three, filled, changed):
        filled(cache_latents_to_disk=True)
        count = filled(cache_latents_to_disk=True, **changed)[3].count
        assert count == (6 if "flip_aug" in changed else 3)

    def test_a_changed_image_is_encoded_anew_and_the_others_are_not(self, three, picture, filled):
        filled(cache_latents_to_disk=True)
        three[0].write_bytes(three[0].with_name("b.png").read_bytes())
        assert filled(cache_latents_to_disk=True)[3].count == 1

    def test_a_changed_mask_is_encoded_anew(self, picture, filled, tmp_path):
        picture("1_x/a.png")
        picture("masks/a.png")
        settings = {
            "cache_latents_to_disk": True, "masked_loss": True,
            "conditioning_data_dir": str(tmp_path / "images" / "masks"),
        }  # fmt: skip
        filled(**settings)
        assert filled(**settings)[3].count == 0
        picture("masks/a.png", (32, 32))
        assert filled(**settings)[3].count == 1

    @pytest.mark.parametrize("content", [b"", b"no file of ours", b"PK\x03\x04torn"])
    def test_a_torn_file_is_encoded_anew(self, three, filled, content):
        filled(cache_latents_to_disk=True)
        three[0].with_name("a_0064x0064_sd.npz").write_bytes(content)
        assert filled(cache_latents_to_disk=True)[3].count == 1

    def test_a_file_of_the_reference_without_our_key_is_not_trusted(self, three, filled):
        file = three[0].with_name("a_0064x0064_sd.npz")
        np.savez(file, latents=np.zeros((3, 8, 8), np.float32))
        _, planned, latents, encoder = filled(cache_latents_to_disk=True)
        assert encoder.count == 3 and latents.get(planned.datasets[0].records[0]).latents.any()

    def test_unless_the_check_is_skipped(self, three, filled):
        file = three[0].with_name("a_0064x0064_sd.npz")
        np.savez(file, latents=np.zeros((3, 8, 8), np.float32))
        _, planned, latents, encoder = filled(cache_latents_to_disk=True, skip_cache_check=True)
        assert encoder.count == 2 and not latents.get(planned.datasets[0].records[0]).latents.any()

    def test_families_have_files_of_their_own(self, three, filled):
        filled(cache_latents_to_disk=True)
        assert filled(cache_latents_to_disk=True, family="sdxl")[3].count == 3
        assert filled(cache_latents_to_disk=True)[3].count == 0

    def test_images_of_one_name_do_not_take_each_others_file(self, picture, filled):
        picture("1_x/a.png", (64, 64))
        picture("1_x/a.jpg", (64, 64))
        filled(cache_latents_to_disk=True)
        assert filled(cache_latents_to_disk=True)[3].count == 0

    def test_copies_of_an_image_have_a_file_each(self, three, filled):
        three[1].write_bytes(three[0].read_bytes())
        filled(cache_latents_to_disk=True)
        assert filled(cache_latents_to_disk=True)[3].count == 0

    def test_two_resolutions_of_one_image_in_a_run_are_both_kept(self, three, filled, tmp_path):
        file = tmp_path / "data.toml"
        subset = f"[[datasets.subsets]]\nimage_dir = '{three[0].parent}'\n"
        file.write_text(f"[[datasets]]\n{subset}[[datasets]]\nresolution = 96\n{subset}")
        settings = {"cache_latents_to_disk": True, "dataset_config": str(file)}
        made, planned, latents, _ = filled(**settings)
        shapes = {b.latents_BCHW.shape[2] for b in islice(dataset.build(made, planned, latents).after(0, 0), 6)}
        assert shapes == {8, 12}
        assert filled(**settings)[3].count == 0

    def test_processes_share_the_work(self, three, filled):
        meeting = threading.Barrier(2)
        worlds = [World(rank, 2, meeting.wait) for rank in (0, 1)]
        with ThreadPoolExecutor(2) as processes:
            counts = processes.map(lambda world: filled(world=world, cache_latents_to_disk=True)[3].count, worlds)
        assert sorted(counts) == [1, 2]

    def test_a_file_removed_while_it_is_used_is_named(self, three, filled):
        _, planned, latents, _ = filled(cache_latents_to_disk=True)
        file = three[0].with_name("a_0064x0064_sd.npz")
        file.unlink()
        with pytest.raises(CacheProblem) as caught:
            latents.get(planned.datasets[0].records[0])
        assert str(caught.value) == (
            f"The cached latents in {file} were changed or removed during the run; start again."
        )

    def test_a_folder_that_cannot_be_written_is_named(self, three, filled, monkeypatch):
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(CacheProblem) as caught:
            filled(cache_latents_to_disk=True)
        assert str(caught.value) == (
            f"Cached latents can't be written to {three[0].parent}: No space left on device; make room there or make "
            "it writable, or turn cache_latents_to_disk off to keep them in memory."
        )
        assert not [name for name in os.listdir(three[0].parent) if "npz" in name]


def test_masks_are_kept_with_the_latents(picture, filled):
    picture("1_x/a.png")
    for on_disk in (False, True):
        made, planned, latents, _ = filled(alpha_mask=True, cache_latents_to_disk=on_disk)
        batch = next(dataset.build(made, planned, latents).after(0, 0))
        assert batch.masks_B1HW.shape == (1, 1, 64, 64) and batch.masks_B1HW.min() == 1.0


def test_latents_that_are_no_numbers_are_refused(three, config):
    planned = plan.make(config(cache_latents=True))
    latents = LatentsCache(Vae(lambda pixels, _: pixels * float("nan"), "w", "sd"), on_disk=False)
    with pytest.raises(CacheProblem) as caught:
        latents.fill(dataset.records_of(planned))
    assert str(caught.value) == (
        "The VAE gives latents that are not numbers; train with no_half_vae, or with another VAE."
    )


def test_a_broken_image_is_named(three, config):
    planned = plan.make(config(cache_latents=True))
    three[1].write_bytes(three[1].read_bytes()[:60])
    latents = LatentsCache(Vae(Encoder(), "w", "sd"), on_disk=False)
    with pytest.raises(BadImage, match="b.png is broken or can't be read"):
        latents.fill(dataset.records_of(planned))


def test_progress_is_reported(three, config):
    planned = plan.make(config(cache_latents=True))
    seen = []
    cache.LatentsCache(Vae(Encoder(), "w", "sd", 2), on_disk=False).fill(
        dataset.records_of(planned), lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 3), (3, 3)]
