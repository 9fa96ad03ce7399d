"""What the starter model learns to draw: a curated set of emoji and the ways people ask for them."""

from __future__ import annotations

import random
import unicodedata

ANIMALS = "🐶🐱🐭🐰🦊🐻🐼🐯🐮🐷🐸🐵🐔🐧🦉🦄🐝🐞🐢🐙🦀🐠🐳🐍"
FOOD = "🍏🍎🍐🍊🍋🍌🍉🍇🍓🍒🍑🍍🍅🍆🥕🍞🧀🍔🍟🍕🍩🍪🎂☕"
FACES = "😀😂😉😍😎😢😡😴🤖🤡💀👻👽🎃💩"
NATURE = "🌵🎄🌳🍀🍁🍄🌹🌻🌙🌞⭐🌈🔥⛄"
OBJECTS = "⚽🏀🎈🎁🎸🎲🎯🚗🚌🚓🚀⛵🏠🏰💡🔑🔔📕🎩👑👕☂❤💙💚💛💜💎"
CURATED = tuple(dict.fromkeys(ANIMALS + FOOD + FACES + NATURE + OBJECTS))

# The plain name, where the Unicode one is not what anybody would type.
COMMON_NAMES = {
    "🎂": "birthday cake", "🍩": "donut", "🐞": "ladybug", "🐳": "whale", "🌞": "smiling sun",
    "🌙": "crescent moon", "⭐": "yellow star", "⛄": "snowman", "🌵": "cactus",
    "🍀": "four leaf clover", "⚽": "soccer ball", "🏀": "basketball", "🎁": "gift box", "🎲": "die",
    "🎯": "target", "🚗": "red car", "🚓": "police car", "🏠": "house", "🏰": "castle",
    "💡": "light bulb", "📕": "red book", "👕": "blue t-shirt", "💎": "blue gem", "☂": "umbrella",
    "❤": "red heart", "💀": "skull", "👽": "alien", "🎃": "halloween pumpkin", "💩": "pile of poo",
    "🤖": "robot face", "👻": "ghost", "🤡": "clown face", "🍏": "green apple", "🍎": "red apple",
    "🍊": "orange", "🍇": "grapes", "🍒": "cherries", "🍆": "eggplant", "🍞": "loaf of bread",
    "🍟": "french fries", "🍕": "slice of pizza", "☕": "cup of coffee", "🌹": "red rose",
    "🎄": "christmas tree", "🌳": "green tree", "🍄": "red mushroom", "🔥": "fire", "🚀": "rocket",
    "⛵": "sailboat", "👑": "crown", "🎩": "top hat", "🔔": "golden bell", "🔑": "key", "🎸": "guitar",
    "😀": "grinning face", "😂": "face with tears of joy", "😍": "smiling face with heart eyes",
    "😎": "smiling face with sunglasses", "😡": "angry red face", "😢": "crying face",
    "😴": "sleeping face", "🐮": "cow face", "🐵": "monkey face", "🐻": "bear face", "🐸": "frog face",
}  # fmt: skip
COLOURS = ("red", "green", "blue", "yellow", "pink", "purple", "white", "orange", "golden")
BACKGROUNDS = {
    "blue": (150, 200, 245), "green": (165, 220, 165), "yellow": (250, 232, 150),
    "pink": (250, 190, 210), "gray": (190, 190, 195), "purple": (205, 180, 235),
}  # fmt: skip


def name_of(emoji: str) -> str:
    """The words for an emoji, in lower case: the everyday ones where they differ from Unicode's."""
    return COMMON_NAMES.get(emoji) or unicodedata.name(emoji).lower()


def with_article(name: str) -> str:
    if name.endswith(("s", "noodles")) and not name.endswith(("ss", "bus", "octopus", "cactus", "palette")):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def phrasings(name: str) -> list[str]:
    """The ways people write one thing: bare, with an article, as a request, and as tags."""
    ways = [name, name, with_article(name), with_article(name), f"a picture of {with_article(name)}", f"{name}, emoji"]
    first, _, rest = name.partition(" ")
    if first in COLOURS and rest:
        ways += [f"{rest}, {first}", f"{rest}, {first}"]
    return ways


def caption(name: str, background: str | None, rng: random.Random) -> str:
    """One way of asking for `name`, with its background where it is not the plain white one."""
    text = rng.choice(phrasings(name))
    if background is None:
        return text
    return rng.choice((f"{text}, {background} background", f"{text} on a {background} background"))
