from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from .schema import Ge, Group, Le, Notice, Problem, Ui

LARGEST_SIDE = 16384
SMALLEST_STEP = 8  # the VAEs of all families make one latent of 8 x 8 pixels or fewer


def _size_text(value: object) -> object:
    """512, "512", "512,768" or [512, 768] -> "512,512" or "512,768". Raises ValueError with what is wanted."""
    numbers = value if isinstance(value, list | tuple) else str(value).lower().replace("x", ",").split(",")
    try:
        sides = [int(str(number).strip()) for number in numbers]
    except ValueError:
        sides = []
    if isinstance(value, bool) or len(sides) not in (1, 2):
        raise ValueError(f"{value!r} is not a size; write one number, or width and height like 512,768.")
    if not all(SMALLEST_STEP <= side <= LARGEST_SIDE and side % SMALLEST_STEP == 0 for side in sides):
        raise ValueError(f"{value!r} is out of range; sides are multiples of 8 from {SMALLEST_STEP} to {LARGEST_SIDE}.")
    return ",".join(map(str, sides * (2 if len(sides) == 1 else 1)))


def _range_text(value: object) -> object:
    """ "2.0,4.0" or [2.0, 4.0] -> "2.0,4.0". Raises ValueError with what is wanted."""
    if value is None:
        return None
    numbers = value if isinstance(value, list | tuple) else str(value).split(",")
    try:
        low, high = (float(number) for number in numbers)
    except (TypeError, ValueError):
        low, high = 0.0, -1.0
    if not 0 < low <= high:
        raise ValueError(f"{value!r} is not a range; write two numbers above 0, the smaller first, like 2.0,4.0.")
    return f"{low:g},{high:g}"


class DatasetConfig(Group):
    title: ClassVar[str] = "Dataset"

    train_data_dir: Annotated[str | None, Ui(label="Image folder", kind="folder", basic=True)] = None
    """The folder that holds the folders of training images, each named <repeats>_<words>, such as 10_sks dog. With a
    metadata file, the folder that its image names start from."""

    reg_data_dir: Annotated[str | None, Ui(label="Regularization folder", kind="folder", basic=True)] = None
    """The folder that holds folders of regularization images, named like those of the training images: pictures of
    the same class, so that the class keeps its meaning. Empty: none."""

    dataset_config: Annotated[str | None, Ui(label="Dataset file", kind="file")] = None
    """A .toml or .json file that describes the data sets. It takes the place of the folders above; what it leaves
    open is taken from here. Empty: the folders count."""

    in_json: Annotated[str | None, Ui(label="Metadata file", kind="file")] = None
    """A .json or .jsonl file with the captions and tags of all images, in place of caption files. Empty: none."""

    dataset_repeats: Annotated[int, Ge(1), Ui(label="Repeats of metadata images")] = 1
    """How often each image of the metadata file is trained in an epoch. Folders say it in their names."""

    resolution: Annotated[str, BeforeValidator(_size_text), Ui(basic=True)] = "512,512"
    """Size of the pictures in training: one number for a square, or width,height. With buckets it gives the area that
    all pictures are brought to. 512 suits SD 1.x, 768 SD 2.x with v-prediction."""

    train_batch_size: Annotated[int, Ge(1), Ui(label="Batch size", basic=True)] = 1
    """How many images are trained at once on each device. More is steadier and faster by image but needs more
    memory."""

    enable_bucket: Annotated[bool, Ui(label="Buckets", basic=True)] = True
    """Train each picture in a size near its own shape. Off: all are resized and cropped to the one resolution."""

    min_bucket_reso: Annotated[int, Ge(SMALLEST_STEP), Ui(step=64, label="Smallest bucket side")] = 256
    """No bucket has a side shorter than this. It must not be above the resolution."""

    max_bucket_reso: Annotated[int, Ge(SMALLEST_STEP), Ui(step=64, label="Largest bucket side")] = 1024
    """No bucket has a side longer than this. It must not be below the resolution."""

    bucket_reso_steps: Annotated[int, Ge(SMALLEST_STEP), Ui(step=8, label="Bucket steps")] = 64
    """Sides of buckets are multiples of this, which is itself a multiple of 8. Smaller steps crop less but make more
    buckets. 64 is usual, 32 for SDXL."""

    bucket_no_upscale: Annotated[bool, Ui(label="Never enlarge")] = False
    """Make buckets from the pictures' own sizes and only ever shrink them; the smallest and largest bucket sides then
    have no effect."""

    resize_interpolation: (
        Literal["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box"] | None
    ) = None
    """How pixels are computed when a picture is resized. Empty: by area when it shrinks along both sides, else
    lanczos."""

    color_aug: Annotated[bool, Ui(label="Color augmentation")] = False
    """Shift the hue or brightness of a third of the pictures a little, each time anew. Not for cached latents."""

    flip_aug: Annotated[bool, Ui(label="Flip augmentation")] = False
    """Mirror pictures left to right half of the time. Not for things that aren't symmetric, such as a face with a
    scar."""

    random_crop: bool = False
    """Cut a picture to size at a random place instead of the middle. Without buckets, pictures larger than the
    resolution are cut without being resized. Not for cached latents."""

    face_crop_aug_range: Annotated[str | None, BeforeValidator(_range_text), Ui(label="Face crop range")] = None
    """Cut around the face whose place stands at the end of the file's name as _x_y_width_height, so that the picture
    is this many times as large as the face, such as 2.0,4.0. Only without buckets. Empty: off."""

    alpha_mask: bool = False
    """Take the transparency of pictures as their mask: what can't be seen isn't learned. Pictures without
    transparency are learned whole."""

    conditioning_data_dir: Annotated[str | None, Ui(label="Mask folder", kind="folder")] = None
    """A folder with a mask for every image, under the same name: red or white where to learn. Needs masked loss."""

    cache_latents: Annotated[bool, Ui(basic=True)] = False
    """Encode all pictures once before training and keep the result in memory: much faster, less video memory."""

    cache_latents_to_disk: bool = False
    """Keep encoded pictures in files beside the images, for later runs too. What has changed since is encoded anew."""

    skip_cache_check: bool = False
    """Trust a file of cached latents that has the right name, without reading the image again to compare. Quicker for
    huge data sets on slow disks."""

    vae_batch_size: Annotated[int, Ge(1), Ui(label="VAE batch size")] = 1
    """How many pictures are encoded at once when latents are cached."""

    cache_info: bool = False
    """Keep sizes and captions of a folder's images in a file metadata_cache.json in it, and trust that file next time
    without looking at the images. Sizes are remembered on this machine in any case."""

    max_data_loader_n_workers: Annotated[int, Ge(0), Le(256), Ui(label="Data loader workers")] = 8
    """At most this many processes prepare pictures ahead, and never more than there are cores. 0: none, the training
    process does it. It makes no difference to the result."""

    persistent_data_loader_workers: bool = False
    """Keep those processes between epochs. Saves the wait at the start of each epoch, costs memory."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the resolution."""
        width, height = (int(side) for side in self.resolution.split(","))
        return width, height

    @property
    def face_range(self) -> tuple[float, float] | None:
        if self.face_crop_aug_range is None:
            return None
        low, high = (float(number) for number in self.face_crop_aug_range.split(","))
        return low, high

    @property
    def caches_latents(self) -> bool:
        return self.cache_latents or self.cache_latents_to_disk

    def relations(self) -> Iterator[Problem]:
        yield from self._bucket_relations()
        yield from self._cache_relations()
        if self.face_crop_aug_range and self.enable_bucket:
            yield Notice(
                "face_crop_aug_range", "It has no effect with enable_bucket; turn buckets off to crop around faces."
            )
        if self.in_json is None and self.dataset_repeats != 1 and not self.dataset_config:
            yield Notice(
                "dataset_repeats", "It has no effect without in_json; folders have their repeats in their names."
            )
        if self.persistent_data_loader_workers and not self.max_data_loader_n_workers:
            yield Notice("persistent_data_loader_workers", "It has no effect without max_data_loader_n_workers.")
        if self.dataset_config:
            for key in ("train_data_dir", "reg_data_dir", "in_json"):
                if getattr(self, key):
                    yield Notice(key, "It has no effect, because dataset_config says where the images are.")

    def _bucket_relations(self) -> Iterator[Problem]:
        step = self.bucket_reso_steps
        if step % SMALLEST_STEP:
            yield Problem("bucket_reso_steps", f"{step} is not a multiple of {SMALLEST_STEP}; 64 is usual.")
        if not self.enable_bucket or self.bucket_no_upscale or self.dataset_config:  # which has sizes of its own
            return
        lowest, highest = self.min_bucket_reso, self.max_bucket_reso
        if lowest > highest:
            message = f"{lowest} is above max_bucket_reso, which is {highest}; lower one or raise the other."
            yield Problem("min_bucket_reso", message)
            return
        short, long = min(self.size), max(self.size)
        if short < lowest:
            message = f"{lowest} is above the shorter side of the resolution, {short}; set it to {short} or less."
            yield Problem("min_bucket_reso", message)
        if long > highest:
            message = f"{highest} is below the longer side of the resolution, {long}; set it to {long} or more."
            yield Problem("max_bucket_reso", message)

    def _cache_relations(self) -> Iterator[Problem]:
        if not self.caches_latents:
            if self.skip_cache_check:
                yield Notice("skip_cache_check", "It has no effect unless latents are cached.")
            return
        for key, what in (("color_aug", "Color augmentation"), ("random_crop", "Random crop")):
            if getattr(self, key):
                message = (
                    f"{what} changes the pictures each time, so their latents can't be cached; turn one of the two off."
                )
                yield Problem(key, message)
        if self.face_crop_aug_range and not self.enable_bucket:
            message = (
                "Face crop changes the pictures each time, so their latents can't be cached; turn one of the two off."
            )
            yield Problem("face_crop_aug_range", message)
