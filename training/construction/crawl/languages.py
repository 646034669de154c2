"""The language of a page, judged by its text first and by what it declares second.

Declared languages are wrong too often to be believed (templates say `en` on pages of every
language), and a model for language identification is a dependency of megabytes that answers a
question finer than ours: is this page mostly in one of the wanted languages? In running text a
fifth to a half of all words are among a language's few dozen commonest (function words), and of
another language's next to none; scripts tell the others apart. Pages too short to judge are
believed what they declare.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

_COMMONEST: Final = {
    "en": "the of and to in a is that for it as was with be by on not he his are this at from but "
    "have an had they you were their one which all we can her has there been if more when will",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch "
    "es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über so zum",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce "
    "il sont avec son aux été cette ou ses mais comme on deux leur nous dont sa elle ces",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero "
    "sus le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue",
    "it": "di e il la che in a per un del è una le i non con si da dei nel al come più gli alla "
    "della delle sono anche ha ma lo dal nella ed suo essere stato questo su tra era",
    "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele "
    "das à seu sua ou quando muito nos já está também só pelo pela até isso é foi são",
    "nl": "de van het een en in is dat op te zijn met voor niet aan er om ook als dan door bij of "
    "uit nog naar over deze hij die werd heeft maar wordt kan worden tot was haar ze hun",
    "sv": "och i att det som en på är av för med den till inte om ett han men var jag från så vi "
    "kan man när år under också efter eller nu sin där vid mot ska skulle kommer ut har de",
    "pl": "w i na z się do nie to że jest o od po jak za przez ale co tym oraz są by dla był być "
    "już tak roku ma jego tylko lub może które ten był który przy także jej czy",
    "tr": "ve bir bu da de için ile olarak çok daha olan gibi en kadar sonra ne ya her o ki var "
    "ise ancak olduğu içinde tarafından iki önce diye yılında",
    "id": "yang dan di dengan untuk pada ini dari dalam tidak akan itu ke sebagai oleh adalah "
    "atau juga dapat telah mereka ia tersebut bahwa ada lebih menjadi",
}  # fmt: skip
_WORDS: Final = {language: frozenset(words.split()) for language, words in _COMMONEST.items()}
# Languages that each script may be; the first where nothing is declared.
_SCRIPTS: Final = {
    "CYRILLIC": ("ru", "uk", "bg", "sr"),
    "ARABIC": ("ar", "fa", "ur"),
    "GREEK": ("el",),
    "HEBREW": ("he",),
    "DEVANAGARI": ("hi", "mr", "ne"),
    "THAI": ("th",),
    "HANGUL": ("ko",),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "CJK": ("zh", "ja"),
}

KNOWN_LANGUAGES: Final = frozenset(_WORDS) | {name for names in _SCRIPTS.values() for name in names}
"""Languages that can be asked for."""

_SAMPLE_CHARS = 6_000
_LAST_LATIN = "\u02ff"
_MIN_WORDS = 30
_MIN_SHARE = 0.12
# Related languages share words: the best must lead by this factor.
_LEAD = 1.3
_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str, declared: str = "") -> str:
    """The language of a text, two letters; empty where neither text nor page says.

    Args:
        text: Plain text; a sample from its middle is judged, where no furniture is.
        declared: What the page declares, such as `en-GB`.
    """
    declared = declared.lower().replace("_", "-").partition("-")[0]
    if len(text) > _SAMPLE_CHARS:
        start = (len(text) - _SAMPLE_CHARS) // 2
        text = text[start : start + _SAMPLE_CHARS]
    script = _script_of(text)
    if script:
        candidates = _SCRIPTS[script]
        return declared if declared in candidates else candidates[0]
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < _MIN_WORDS:
        return declared
    counts = Counter(words)
    shares = sorted(
        (
            (sum(counts[word] for word in common) / len(words), language)
            for language, common in _WORDS.items()
        ),
        reverse=True,
    )
    (best, language), (second, _) = shares[0], shares[1]
    if best < _MIN_SHARE:
        # Names and numbers alone, or a language that we have no words of.
        return declared
    if best < _LEAD * second and declared in _WORDS:
        return declared
    return language


def _script_of(text: str) -> str:
    """The script of most letters that are not Latin; empty where most are Latin."""
    sample = text[:_SAMPLE_CHARS:3]
    beyond_latin = [c for c in sample if c > _LAST_LATIN and c.isalpha()]
    total = len(beyond_latin)
    if not total or total <= sum(map(str.isalpha, sample)) / 2:
        return ""
    foreign = Counter(map(_script, beyond_latin))
    # Japanese is known by its syllables, however many of its characters are Chinese.
    if foreign["HIRAGANA"] + foreign["KATAKANA"] > total / 20:
        return "HIRAGANA"
    script, _ = foreign.most_common(1)[0]
    return script if script in _SCRIPTS else ""


def _script(character: str) -> str:
    return unicodedata.name(character, "?").split(" ", 1)[0].split("-", 1)[0]
