"""Plays the engine: reads the settings, writes a run folder as it does, heeds its control files, trains nothing.

`training_comment` says what shall happen: "fail at start", "crash", "deaf" (heeds nothing), else all goes well. `seed`
is the number of milliseconds that a step takes. It goes on from the states that it saves, and heeds changes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tomlkit  # noqa: E402 - what takes long to import is left out: tests start many of these
from PIL import Image, ImageDraw  # noqa: E402

from sd_scripts.events import Events, Heartbeat, RunFolder  # noqa: E402

PROMPTS = ("a photo of a blue teapot", "a teapot on a table, oil painting", "a red apple")


class FakeRun:
    def __init__(self, config: Path) -> None:
        sections = tomlkit.parse(config.read_text(encoding="utf-8")).unwrap().values()
        self.settings = {key: value for section in sections for key, value in section.items()}
        self.run = RunFolder(self.settings["run_dir"]).create()
        self.events = Events(self.run)
        self.total = int(self.settings.get("max_train_steps", 60))
        self.comment = str(self.settings.get("training_comment", ""))
        self.seconds = int(self.settings.get("seed", 20)) / 1000
        self.step = 0
        self.factor = 1.0
        resume = self.settings.get("resume")
        if resume:
            self.step = json.loads((Path(resume) / "train_state.json").read_text())["current_step"]

    def sample(self) -> None:
        self.events.state("sampling")
        for index, prompt in enumerate(PROMPTS):
            picture = Image.new("RGB", (64, 64), (245, 245, 240))
            share = self.step / self.total
            colour = tuple(
                int(a + (b - a) * share) for a, b in zip((250, 200, 40), (40 + 60 * index, 110, 200), strict=True)
            )
            ImageDraw.Draw(picture).ellipse((10 + 6 * index, 12, 52, 54), fill=colour)
            name = f"fake_{self.step:06d}_{index:02d}.png"
            picture.save(self.run.samples / name)
            self.events.write(
                "sample",
                step=self.step,
                epoch=self.epoch,
                index=index,
                prompt=prompt,
                seed=index,
                file=f"samples/{name}",
            )
        self.events.state("training")

    @property
    def epoch(self) -> int:
        return 1 + self.step // max(1, self.total // 10)

    def save(self, with_state: bool = False) -> None:
        self.events.state("saving")
        file = self.run.path / f"fake-{self.step:06d}.safetensors"
        file.touch()
        self.events.write("saved", step=self.step, file=str(file), what="model")
        if with_state:
            folder = self.run.path / f"fake-{self.step:06d}-state"
            folder.mkdir(exist_ok=True)
            (folder / "train_state.json").write_text(json.dumps({"current_step": self.step}))
            self.events.write("saved", step=self.step, file=str(folder), what="state")
        self.events.state("training")

    def take_step(self) -> None:
        self.step += 1
        time.sleep(self.seconds)
        loss = 0.08 + 0.12 * math.exp(-4 * self.step / self.total) * (0.6 + random.random())
        rate = (
            self.factor
            * float(self.settings.get("learning_rate", 1e-4))
            * 0.5
            * (1 + math.cos(math.pi * self.step / self.total))
        )
        self.events.write(
            "step",
            step=self.step,
            epoch=self.epoch,
            loss=loss,
            average_loss=loss,
            lr={"unet": rate, "text_encoder": rate / 2},
        )
        print(f"\rsteps: {self.step}/{self.total}", end="", file=sys.stderr, flush=True)

    def heed(self) -> bool:
        """Whether to go on."""
        if self.comment == "deaf":
            return True
        change = self.run.take_change()
        if change:
            self.factor = change.get("rate_factor", self.factor)
            self.total = int(change.get("total_steps", self.total))
            self.events.write("changed", step=self.step, message="Changed.", **change)
        if self.run.take("sample"):
            self.sample()
        if self.run.take("save"):
            self.save(with_state=bool(self.settings.get("save_state")))
        if self.run.take("stop_now"):
            self.events.state("stopped", "Stopped without saving.")
            return False
        if self.run.take("stop"):
            self.save(with_state=True)
            self.events.state("stopped", "Stopped and saved.")
            return False
        return True

    def begin(self) -> None:
        attempt = 1 + sum(event["kind"] == "start" for event in self.run.read()[0])
        self.events.write("start", pid=os.getpid(), attempt=attempt, resumed_step=self.step)
        self.events.state("loading", "sd_scripts/starter/model")
        print("Loading the model ...", flush=True)
        if self.comment == "fail at start":
            self.events.write(
                "failed", sentence="pretrained_model_name_or_path: nowhere.safetensors does not exist.", problems=[]
            )
            self.events.state("failed")
            sys.exit(1)
        self.events.write(
            "plan",
            total_steps=self.total,
            epochs=10,
            batches_per_epoch=self.total // 10,
            sum="12 images x 5 repeats ...",
        )
        self.events.write("notice", key="seed", message="The seed is only a number of milliseconds here.")
        self.events.state("caching")
        for done in range(0, 13, 4):
            self.events.write("progress", what="caching latents", done=done, total=12)
            time.sleep(self.seconds)
        self.events.state("training")

    def train(self) -> None:
        self.begin()
        if not self.step:
            self.sample()
        while self.step < self.total:
            self.take_step()
            if self.comment == "crash" and self.step == 5:
                raise RuntimeError("something nobody thought of")
            if self.step % max(1, self.total // 5) == 0:
                self.sample()
            if not self.heed():
                return
        self.save()
        self.events.state("done", "Trained and saved.")
        print("\nDone.", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--config_file", type=Path, required=True)
    fake = FakeRun(arguments.parse_args().config_file)
    if fake.comment == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Heartbeat(fake.run, lambda: fake.step):
        fake.train()
