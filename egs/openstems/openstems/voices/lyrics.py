"""Lyrics: random English lines, invented words and kana.

The lines contain all vowels and consonants, and words that are frequent in songs.
"""

from __future__ import annotations

import numpy as np

NOUNS = (
    "night day heart home road time mind fire light dream sky sun rain moon sea star river shadow "
    "summer winter city ocean window garden mirror thunder whisper soldier stranger mother brother "
    "power paper silver money trouble danger feather mountain engine station radio morning evening "
    "hand face voice ghost smoke dust glass stone church street beach truth youth mouth path choice"
)
VERBS = (
    "love know see hold fall come run wait call find leave take shake break burn turn dance sing "
    "fight chase catch reach touch watch push follow carry remember forget believe imagine measure "
    "feel need bring fly try show grow choose lose move prove save give drive ride hide shine"
)
ADJECTIVES = (
    "blue sweet wild cold warm lonely broken golden hollow silent crazy heavy easy early only "
    "bright strong young gentle electric bitter sacred yellow narrow shallow restless precious"
)
LINES = (
    "{verb} me in the {noun}",
    "all the {adjective} {noun}s {verb} away",
    "I {verb} you like a {noun}",
    "oh, {verb} it back to the {noun}",
    "you {verb} my {adjective} {noun}",
    "just another {noun} for the {noun}",
    "we {verb} until the {noun} is {adjective}",
    "don't {verb} the {noun} tonight",
    "she said {verb} the {adjective} one",
    "what if the {noun} should {verb} us",
    "every {noun} that I {verb}",
    "nothing to {verb}, nothing to {verb}",
    "yeah, your {noun} is my {noun}",
    "give me the {adjective} {noun} again",
)

# Letters of misaki's phoneme alphabet; each set is an invented language.
ONSETS = (
    "p t k b d ɡ m n s h ɹ l w j",
    "p t k b d ɡ m n f v s z ʃ ʧ ʤ l ɹ w j h pl kl bɹ tɹ st sp kɹ",
    "k s t n h m j ɾ w ɡ z d b p ɕ ʨ ʦ",
)
VOWELS = ("a e i o u", "ɑ ɛ i O ʊ æ A I ʌ ɔ u W", "a i ɯ e o")
CODAS = (
    ("", "", "", "n", "l", "ɹ"),
    ("", "", "n", "m", "s", "t", "k", "ŋ", "ɹ", "lz", "st"),
    ("", "", "", "ɴ"),
)

KANA = (
    "あ い う え お か き く け こ さ し す せ そ た ち つ て と な に ぬ ね の "
    "は ひ ふ へ ほ ま み む め も や ゆ よ ら り る れ ろ わ が ぎ ぐ げ ご ざ じ ず ぜ ぞ "
    "だ で ど ば び ぶ べ ぼ ぱ ぴ ぷ ぺ ぽ "
    "きゃ きゅ きょ しゃ しゅ しょ ちゃ ちゅ ちょ にゃ りゃ りゅ りょ ん"
)


def english(count: int, rng: np.random.Generator) -> list[str]:
    """Return short English lines for a text-to-speech program.

    Args:
        count: number of lines.
        rng: random generator of templates and words.
    """
    words = {"noun": NOUNS.split(), "verb": VERBS.split(), "adjective": ADJECTIVES.split()}
    lines = []
    for _ in range(count):
        line = str(rng.choice(LINES))
        for kind, choices in words.items():
            while f"{{{kind}}}" in line:
                line = line.replace(f"{{{kind}}}", str(rng.choice(choices)), 1)
        lines.append(line)
    return lines


def phonemes(count: int, rng: np.random.Generator) -> list[str]:
    """Return lines of five to eight invented syllables in misaki's phoneme alphabet.

    Args:
        count: number of lines.
        rng: random generator of the sounds and words.
    """
    lines = []
    for _ in range(count):
        language = int(rng.integers(len(ONSETS)))
        words: list[str] = []
        syllables = 0
        while syllables < 5:
            length = int(rng.integers(1, 4))
            words.append(_word(length, language, rng))
            syllables += length
        lines.append(" ".join(words) + ".")
    return lines


def _word(length: int, language: int, rng: np.random.Generator) -> str:
    stressed = int(rng.integers(length))
    parts = []
    for position in range(length):
        onset = str(rng.choice(ONSETS[language].split()))
        stress = "ˈ" if position == stressed else ""
        coda = str(rng.choice(CODAS[language])) if position == length - 1 else ""
        parts.append(onset + stress + str(rng.choice(VOWELS[language].split())) + coda)
    return "".join(parts)


def kana(count: int, rng: np.random.Generator) -> list[str]:
    """Return one kana for each of `count` notes; the first is not the syllabic nasal."""
    syllables = KANA.split()
    chosen = [str(rng.choice(syllables)) for _ in range(count)]
    if chosen and chosen[0] == "ん":
        chosen[0] = "な"
    return chosen
