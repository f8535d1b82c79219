"""Makes examples/spoken_digits with the speech synthesiser espeak-ng: python examples/make_spoken_digits.py FOLDER

Ten digits by 24 speakers, each in two voices of different accent, speed and pitch: 480 clips of 16 kHz FLAC, one
folder a digit. With one version of espeak-ng, soxr and libsndfile every run writes the same bytes. The training
example only reads what this made; nobody needs to run it.
"""

from __future__ import annotations

import argparse
import io
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WOMEN = ("Alicia", "Annie", "aunty", "belinda", "f1", "f2", "f3", "f4", "f5", "linda", "shelby", "steph")
MEN = ("Jacky", "Lee", "klatt", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "pablo")
HELD_OUT = ("Annie", "f2", "steph", "m3", "m7", "pablo")
ACCENTS = {
    "us": "en-us",
    "gb": "en-gb",
    "scotland": "en-gb-scotland",
    "caribbean": "en-029",
    "newyork": "en-us-nyc",
    "rp": "en-gb-x-rp",
    "lancaster": "en-gb-x-gbclan",
    "midlands": "en-gb-x-gbcwmd",
}
SPEEDS = (130, 150, 165, 180)  # words per minute
PITCHES = (40, 50, 60)  # espeak-ng's own scale, 0 to 99
MARGIN_S = 0.04
"""Silence kept on both sides of a word."""
STEP = 32
"""Samples are multiples of this (11 bits), far below hearing here; FLAC stores what is left in half the space."""


def voices() -> dict[str, list[str]]:
    """Returns the name of each voice and the options that make espeak-ng speak with it."""
    found = {}
    for place, speaker in enumerate(WOMEN + MEN):
        for voice in range(2):
            accent = list(ACCENTS)[(place + 3 * voice) % len(ACCENTS)]
            speed = SPEEDS[(place + 2 * voice) % len(SPEEDS)]
            pitch = PITCHES[(place + voice) % len(PITCHES)]
            options = ["-v", f"{ACCENTS[accent]}+{speaker}", "-s", str(speed), "-p", str(pitch)]
            found[f"{speaker.lower()}-{accent}-{speed}"] = options
    return found


def speak(word: str, options: list[str]) -> np.ndarray:
    """Returns the word as espeak-ng says it, 16 kHz, -1 to 1."""
    spoken = subprocess.run(["espeak-ng", *options, "--stdout", word], capture_output=True, check=True).stdout
    wave, rate = soundfile.read(io.BytesIO(spoken), dtype="float64")
    return soxr.resample(wave, rate, RATE)


def tidy(wave: np.ndarray) -> np.ndarray:
    """Returns the wave as int16 without long silence at its ends, its peak at -6 dB, in few bits."""
    level = np.convolve(wave**2, np.ones(RATE // 100), "same")
    loud = np.flatnonzero(level > 1e-4 * level.max())
    margin = int(MARGIN_S * RATE)
    wave = wave[max(0, loud[0] - margin) : loud[-1] + margin]
    return (np.round(wave / np.abs(wave).max() * 2**14 / STEP) * STEP).astype(np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the ten folders and held_out.txt are written")
    folder = parser.parse_args().folder
    for digit in DIGITS:
        (folder / digit).mkdir(parents=True, exist_ok=True)
        for name, options in voices().items():
            soundfile.write(folder / digit / f"{name}.flac", tidy(speak(digit, options)), RATE, subtype="PCM_16")
    held_out = [name for name in voices() if name.split("-")[0] in {speaker.lower() for speaker in HELD_OUT}]
    (folder / "held_out.txt").write_text("\n".join(held_out) + "\n")


if __name__ == "__main__":
    main()
