"""What the starter model learns to draw: a curated set of emoji and the ways people ask for them."""

from __future__ import annotations

import random
import unicodedata

ANIMALS = (
    "🐶🐱🐭🐹🐰🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐤🦆🦅🦉🦇🐺🐗🐴🦄🐝🐛🦋🐌🐞🐜🕷🦂🐢🐍🦎🦖🐙🦑🦐🦞🦀🐡🐠🐟🐬🐳🦈🐊🐘🦒🦓🐑🐐"
    "🦌🐇🐿🦔🐉🐲🐁🐓🦃🦚🦜🦢🦩"
)
FOOD = (
    "🍏🍎🍐🍊🍋🍌🍉🍇🍓🍒🍑🥭🍍🥥🥝🍅🍆🥑🥦🥒🌶🌽🥕🥔🍠🥐🍞🥨🧀🥚🍳🥓🥩🍗🍖🌭🍔🍟🍕🥪🌮🌯🥗🍝🍜🍣🍤🍙🍦🍩🍪🎂🍰🧁🍫🍬🍭"
    "🍿☕🍺🍷🍸🍹🥛"
)
FACES = "😀😂😃😅😇😈😉😊😍😎😐😘😛😜😡😢😭😱😴😷🤓🤔🤖🤗🤠🤡🥶🥳🤢🤣💀👻👽🎃💩"
NATURE = "🌵🎄🌲🌳🌴🌱🌿🍀🍁🍄🌷🌹🌺🌻🌼🌸🌍🌙🌞⭐🌈☁⚡❄🔥💧🌊⛄"
OBJECTS = (
    "⚽🏀🏈⚾🎾🏐🎱🎈🎁🎀🎨🎸🎺🎻🥁🎲🎯🚗🚕🚙🚌🚒🚓🚑🚜🚲🛵🚂✈🚀🚁⛵🚢🏠🏰⛺🗼🗿⌚📱💻📷📺🔦💡🔑🔨🔔📕📦✂🔒🛒👑👒🎩👓👕👖👗👟"
    "👠💍💎💼🎒☂❤💙💚💛💜"
)
CURATED = tuple(dict.fromkeys(ANIMALS + FOOD + FACES + NATURE + OBJECTS))

# The plain name, where the Unicode one is not what anybody would type.
COMMON_NAMES = {
    "🎂": "birthday cake", "🍩": "donut", "🍜": "bowl of noodles", "🍝": "plate of spaghetti", "🍳": "fried egg",
    "🐦": "bird", "🐤": "chick", "🐿": "squirrel", "🐞": "ladybug", "🐁": "mouse", "🐳": "whale", "🍖": "meat on a bone",
    "🌞": "smiling sun", "🌍": "planet earth", "🌙": "crescent moon", "⭐": "yellow star", "☁": "cloud",
    "⚡": "lightning bolt", "❄": "snowflake", "⛄": "snowman", "🌊": "ocean wave", "🌵": "cactus", "🍀": "four leaf clover",
    "⚽": "soccer ball", "🏀": "basketball", "🏈": "football", "⚾": "baseball", "🎾": "tennis ball", "🎱": "billiard ball",
    "🎁": "gift box", "🎀": "pink ribbon", "🎨": "paint palette", "🎲": "die", "🎯": "target", "🚗": "red car", "🚕": "taxi",
    "🚙": "blue car", "🚒": "fire truck", "🚓": "police car", "🚂": "steam locomotive", "🏠": "house", "🏰": "castle",
    "🗼": "red tower", "🗿": "stone head", "📷": "camera", "💡": "light bulb", "🔦": "flashlight", "📕": "red book",
    "📦": "cardboard box", "👒": "straw hat", "👕": "blue t-shirt", "👖": "jeans", "👗": "dress", "👟": "running shoe",
    "👠": "high heel shoe", "💍": "ring", "💎": "blue gem", "☂": "umbrella", "❤": "red heart", "💀": "skull",
    "👽": "alien", "🎃": "halloween pumpkin", "💩": "pile of poo", "🤖": "robot face", "👻": "ghost", "🤡": "clown face",
    "🍏": "green apple", "🍎": "red apple", "🍊": "orange", "🍇": "grapes", "🍒": "cherries", "🌶": "hot pepper",
    "🌽": "corn", "🍆": "eggplant", "🍞": "loaf of bread", "🍟": "french fries", "🍕": "slice of pizza", "☕": "cup of coffee",
    "🍺": "mug of beer", "🍷": "glass of wine", "🍸": "cocktail glass", "🍹": "tropical drink", "🥛": "glass of milk",
    "🍗": "chicken leg", "🍤": "fried shrimp", "🍦": "ice cream", "🍰": "slice of cake", "🍫": "chocolate bar",
    "🌭": "hot dog", "🌯": "burrito", "🥗": "green salad", "🌹": "red rose", "🌸": "cherry blossom", "🌼": "white blossom",
    "🎄": "christmas tree", "🌲": "evergreen tree", "🌳": "green tree", "🍄": "red mushroom", "🔥": "fire", "💧": "drop of water",
    "🚀": "rocket", "✈": "airplane", "🚲": "bicycle", "⛵": "sailboat", "🚢": "ship", "📱": "mobile phone", "💻": "laptop",
    "📺": "television", "👑": "crown", "🎩": "top hat", "👓": "glasses", "🎒": "school backpack", "💼": "briefcase",
    "🛒": "shopping cart", "🔔": "golden bell", "🔑": "key", "🎻": "violin", "🥁": "drum", "🎸": "guitar", "🎺": "trumpet",
    "😀": "grinning face", "😂": "face with tears of joy", "😍": "smiling face with heart eyes",
    "😎": "smiling face with sunglasses", "😡": "angry red face", "😢": "crying face", "😭": "loudly crying face",
    "😱": "screaming face", "😴": "sleeping face", "😷": "face with medical mask", "😘": "face blowing a kiss",
    "😇": "smiling face with halo", "😈": "smiling purple devil", "🐲": "dragon face", "🦖": "t-rex", "🐑": "sheep",
    "🐮": "cow face", "🐵": "monkey face", "🐻": "bear face", "🐨": "koala", "🐸": "frog face",
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
