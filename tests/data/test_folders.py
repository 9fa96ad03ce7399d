"""Folders of images: what is found, and a sentence for everything that is wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.data import headers, texts


def problems(plan):
    return [str(problem) for problem in plan.problems if problem.stops]


def notices(plan):
    return [str(problem) for problem in plan.problems if not problem.stops]


def test_the_folder_names_say_repeats_and_words(picture, planned):
    picture("3_sks cat/a.png")
    picture("2_b_c/a.png")
    found = {(r.path.parent.name, r.repeats, r.captions) for r in planned().datasets[0].records}
    assert found == {("3_sks cat", 3, ("sks cat",)), ("2_b_c", 2, ("b_c",))}


def test_images_of_every_kind_are_found_in_any_case(picture, planned):
    for name in ("a.png", "b.JPG", "c.jpeg", "d.webp", "e.bmp", "käse 画.png"):
        picture(f"1_x/{name}")
    (picture("1_x/f.png").with_name("notes.md")).write_text("no image")
    plan = planned()
    assert len(plan.datasets[0].records) == 7
    assert not plan.problems


@pytest.mark.skipif(".avif" not in headers.readable_endings(), reason="this Pillow reads no AVIF")
def test_avif_images_are_found(picture, planned):
    picture("1_x/a.avif", (80, 64))
    assert [r.size for r in planned().datasets[0].records] == [(80, 64)]


def test_an_unreadable_kind_is_named(picture, planned):
    picture("1_x/a.png").with_name("b.jxl").write_bytes(b"x")
    folder = picture("1_x/a.png").parent
    if ".jxl" in headers.readable_endings():
        pytest.skip("this Pillow reads JPEG XL")
    assert problems(planned()) == [
        f"train_data_dir: b.jxl in {folder} can't be read by the installed Pillow; save them as .png or .webp."
    ]


class TestCaptions:
    def test_a_file_beside_the_image_gives_the_caption(self, picture, planned):
        picture("1_x/a.png", caption="hello, world\nsecond\n\n")
        assert planned().datasets[0].records[0].captions == ("hello, world", "second")

    def test_a_byte_order_mark_is_no_part_of_it(self, picture, planned):
        picture("1_x/a.png").with_suffix(".txt").write_text("hello", encoding="utf-8-sig")
        assert planned().datasets[0].records[0].captions == ("hello",)

    def test_an_empty_file_is_an_empty_caption_with_a_notice(self, picture, planned):
        folder = picture("1_x/a.png", caption="").parent
        plan = planned()
        assert plan.datasets[0].records[0].captions == ("",)
        assert notices(plan) == [f"caption_extension: a.txt in {folder} is empty, and so is the caption."]

    def test_a_file_that_is_not_utf8_is_named(self, picture, planned):
        file = picture("1_x/a.png").with_suffix(".txt")
        file.write_bytes("schön".encode("latin-1"))
        assert problems(planned()) == [
            f"train_data_dir: The caption file {file} is not UTF-8 text (byte 4); save it as UTF-8."
        ]

    def test_an_image_without_one_gets_the_words_of_the_folder_and_a_notice(self, picture, planned):
        picture("1_sks cat/a.png", caption="own")
        folder = picture("1_sks cat/b.png").parent
        plan = planned()
        assert [r.captions for r in plan.datasets[0].records] == [("own",), ("sks cat",)]
        assert notices(plan) == [
            f"caption_extension: 1 of 2 images in {folder} have no .txt file; they get the words 'sks cat'."
        ]

    def test_files_with_another_ending_are_pointed_out(self, picture, planned):
        image = picture("1_x/a.png")
        image.with_suffix(".caption").write_text("hello")
        assert notices(planned()) == [
            f"caption_extension: {image.parent} holds 1 .caption files beside images without a .txt file; "
            "set it to .caption to use them."
        ]
        assert planned(caption_extension="caption").datasets[0].records[0].captions == ("hello",)

    def test_the_place_of_a_face_is_no_part_of_the_name(self, picture, planned):
        picture("1_x/anna_30_30_10_12.png").with_name("anna.txt").write_text("anna smiles")
        assert planned().datasets[0].records[0].captions == ("anna smiles",)

    def test_a_changed_file_is_read_again(self, picture, planned):
        file = picture("1_x/a.png", caption="one").with_suffix(".txt")
        planned()
        file.write_text("other")
        assert planned().datasets[0].records[0].captions == ("other",)


class TestLayout:
    def test_no_folder_given(self, config):
        from sd_scripts import plan

        made = plan.make(config(train_data_dir=None))
        assert problems(made) == [
            "train_data_dir: It is empty; choose the folder that holds the folders of training images, "
            "or give a dataset_config."
        ]

    def test_the_folder_is_missing(self, planned, tmp_path):
        assert problems(planned()) == [
            f"train_data_dir: The folder {tmp_path / 'images'} does not exist; check its name."
        ]

    def test_it_is_a_file(self, picture, planned):
        file = picture("a.png")
        assert problems(planned(train_data_dir=str(file))) == [
            f"train_data_dir: {file} is a file; choose the folder that holds the folders of images."
        ]

    def test_it_is_empty(self, planned, tmp_path):
        folder = tmp_path / "images"
        folder.mkdir()
        assert problems(planned()) == [
            f"train_data_dir: {folder} is empty; put the images into a folder in it, such as {folder / '10_name'}."
        ]

    def test_images_lie_directly_in_it(self, picture, planned):
        picture("a.png")
        folder = picture("b.png").parent
        assert problems(planned()) == [
            f"train_data_dir: 2 images lie directly in {folder}; move them into a folder in it that is named "
            f"<repeats>_<words>, such as {folder / '10_name'}."
        ]

    def test_it_is_itself_a_folder_of_images(self, picture, planned):
        folder = picture("10_cat/a.png").parent
        assert problems(planned(train_data_dir=str(folder))) == [
            f"train_data_dir: {folder} is itself a folder of images; "
            f"choose the folder that it lies in, {folder.parent}."
        ]

    def test_no_folder_in_it_has_repeats(self, picture, planned):
        folder = picture("dog/a.png").parent.parent
        picture("cat/a.png")
        assert problems(planned()) == [
            f"train_data_dir: No folder in {folder} is named <repeats>_<words>, only cat, dog; "
            "rename it, for example cat to 10_cat."
        ]

    def test_a_folder_without_repeats_beside_others_is_left_out_with_a_notice(self, picture, planned):
        picture("1_cat/a.png")
        picture("dog/a.png")
        plan = planned()
        assert plan.num_train_images == 1
        assert notices(plan) == [
            "train_data_dir: The folder dog is left out, because its name doesn't start with repeats, as in 10_dog."
        ]

    def test_a_folder_of_no_repeats_is_left_out_with_a_notice(self, picture, planned):
        picture("1_cat/a.png")
        picture("0_dog/a.png")
        assert notices(planned()) == ["train_data_dir: The folder 0_dog is left out, because its repeats are 0."]

    def test_images_beside_the_folders_are_left_out_with_a_notice(self, picture, planned):
        picture("1_cat/a.png")
        folder = picture("loose.png").parent
        assert notices(planned()) == [
            f"train_data_dir: loose.png directly in {folder} is left out; "
            "move what is to be trained into one of the folders in it."
        ]

    def test_a_folder_without_images(self, planned, tmp_path):
        folder = tmp_path / "images" / "5_cat"
        (folder / "deeper").mkdir(parents=True)
        (sentence,) = problems(planned())
        assert sentence.startswith(f"train_data_dir: The folder {folder} holds no images; put some into it (.")

    @pytest.mark.skipif(
        sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs permissions"
    )
    def test_a_folder_that_cannot_be_read(self, picture, planned):
        folder = picture("1_cat/a.png").parent
        folder.chmod(0)
        try:
            (sentence,) = problems(planned())
        finally:
            folder.chmod(0o755)
        assert str(folder) in sentence and "permissions" in sentence


class TestWhatIsLeftOut:
    def test_hidden_files_and_folders_are_none_of_the_users(self, picture, planned):
        """Such as those that macOS and Jupyter leave: with an image's name, but no image."""
        image = picture("1_cat/a.png", caption="own")
        image.with_name("._a.png").write_bytes(b"Mac OS X")
        picture("1_cat/.ipynb_checkpoints/a.png")
        picture(".thumbnails/a.png")
        plan = planned()
        assert (plan.num_train_images, plan.problems) == (1, ())

    def test_images_in_folders_of_the_folder(self, picture, planned):
        picture("1_cat/a.png")
        folder = picture("1_cat/more/b.png").parent
        assert notices(planned()) == [
            f"train_data_dir: The images in {folder} are left out, because folders in folders aren't searched."
        ]

    def test_kinds_of_images_that_are_not_trained(self, picture, planned):
        folder = picture("1_cat/a.png").parent
        for name in ("b.gif", "c.TIF", "d.jfif", "notes.md"):
            (folder / name).write_bytes(b"")
        assert notices(planned()) == [
            f"train_data_dir: b.gif, c.TIF, d.jfif in {folder} are left out; "
            "save what is to be trained as .png, .jpg or .webp."
        ]

    @pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
    def test_a_link_that_leads_nowhere_stops(self, picture, planned):
        link = picture("1_cat/a.png").with_name("b.png")
        link.symlink_to("nowhere.png")
        assert problems(planned()) == [
            f"train_data_dir: The image {link} is a link that leads nowhere; mend it or take it out."
        ]


class TestBrokenImages:
    def test_each_has_its_sentence_and_all_are_named_at_once(self, picture, planned):
        good = picture("1_cat/good.png")
        for name, content in (("text.png", b"hello"), ("empty.jpg", b""), ("torn.webp", b"RIFF\0\0")):
            good.with_name(name).write_bytes(content)
        assert problems(planned()) == [
            *(
                f"train_data_dir: The image {good.with_name(name)} is broken or no image; "
                "replace it or take it out of the folder."
                for name in ("empty.jpg", "text.png")
            ),
            f"train_data_dir: The image {good.with_name('torn.webp')} is cut off; "
            "copy or download it again, or take it out of the folder.",
        ]

    def test_a_hundred_get_twenty_sentences_and_a_sum(self, picture, planned):
        good = picture("1_cat/good.png")
        for number in range(100):
            good.with_name(f"{number}.png").write_bytes(b"no")
        sentences = problems(planned())
        assert len(sentences) == 21
        assert sentences[-1] == f"train_data_dir: 80 more files in {good.parent} are broken."


class TestAnimatedImages:
    """Several pictures in one file, of which the first is trained."""

    @pytest.fixture
    def animated(self, picture):
        def save(*names):
            for name in names:
                file = picture(f"1_cat/{name}")
                with Image.open(file) as first:
                    first.save(file, save_all=True, append_images=[first.rotate(90)], duration=100)
            return file.parent

        return save

    def test_one_is_named(self, picture, planned, animated):
        picture("1_cat/still.png")
        folder = animated("a.webp")
        said = f"train_data_dir: 1 image of {folder} is animated (a.webp); only its first picture is trained."
        assert [notices(planned()), notices(planned())] == [[said], [said]]

    def test_of_many_a_few_are_named_and_all_are_counted(self, planned, animated):
        folder = animated("a.webp", "b.png", "c.webp", "d.png")
        assert notices(planned()) == [
            f"train_data_dir: 4 images of {folder} are animated (a.webp, b.png, c.webp and 1 more); "
            "of each only the first picture is trained."
        ]

    def test_what_a_folder_remembers_of_itself_does_not_hide_them(self, planned, animated):
        animated("a.webp")
        assert notices(planned(cache_info=True)) == notices(planned(cache_info=True)) != []


class TestMemory:
    """Sizes are remembered for as long as length and time of the file stay."""

    def test_the_second_look_opens_no_image(self, picture, planned, monkeypatch):
        picture("1_cat/a.png", (80, 64))
        planned()
        monkeypatch.setattr(headers, "look", lambda path: pytest.fail("looked again"))
        assert planned().datasets[0].records[0].size == (80, 64)

    def test_a_changed_image_is_looked_at_again(self, picture, planned):
        picture("1_cat/a.png", (80, 64))
        planned()
        picture("1_cat/a.png", (64, 90))
        assert planned().datasets[0].records[0].size == (64, 90)

    def test_only_what_is_new_is_looked_at(self, picture, planned, monkeypatch):
        for name in ("a", "c"):
            picture(f"1_cat/{name}.png", (80, 64), caption=name)
        planned()
        picture("1_cat/b.png", (64, 90), caption="b")
        looked, read = [], []
        monkeypatch.setattr(headers, "look", lambda path: looked.append(Path(path).name) or headers.Header(64, 90))
        monkeypatch.setattr(texts, "read_lines", lambda path: read.append(Path(path).name) or ("b",))
        for _ in range(2):
            records = planned().datasets[0].records
            assert [(r.size, r.captions) for r in records] == [
                ((80, 64), ("a",)),
                ((64, 90), ("b",)),
                ((80, 64), ("c",)),
            ]
        assert (looked, read) == (["b.png"], ["b.txt"])

    def test_a_cache_folder_that_cannot_be_written_does_no_harm(self, picture, planned, own_cache_folder):
        own_cache_folder.write_text("in the way")
        picture("1_cat/a.png")
        assert planned().num_train_images == 1

    def test_a_torn_index_is_forgotten(self, picture, planned, own_cache_folder):
        picture("1_cat/a.png")
        planned()
        for file in own_cache_folder.rglob("*.json"):
            file.write_text("{")
        assert planned().num_train_images == 1

    def test_sizes_of_an_earlier_version_are_looked_at_again_and_the_rest_is_kept(
        self, picture, planned, own_cache_folder, monkeypatch
    ):
        """It did not look whether an image was cut off."""
        image = picture("1_cat/a.png", (80, 64), caption="hello")
        planned()
        (file,) = own_cache_folder.rglob("*.json")
        known = json.loads(file.read_text())
        names, lengths, times, _ = known.pop("headers")
        file.write_text(json.dumps({**known, "sizes": [names, lengths, times, [[80, 64]]]}))
        os.truncate(image, lengths[0] // 2)
        os.utime(image, ns=(times[0], times[0]))
        monkeypatch.setattr(texts, "read_lines", lambda path: pytest.fail("read again"))
        assert len(problems(planned())) == 1

    def test_cache_info_trusts_the_file_in_the_folder(self, picture, planned):
        image = picture("1_cat/a.png", (80, 64), caption="hello")
        planned(cache_info=True)
        image.with_suffix(".txt").write_text("changed")
        assert planned(cache_info=True).datasets[0].records[0].captions == ("hello",)
        assert planned().datasets[0].records[0].captions == ("changed",)
