"""eSpeak NG in process, through ctypes and the shared library of the package `espeakng-loader`.

eSpeak NG is GPL-3.0. It is therefore an extra, `synthetic`, and is loaded only by `Engine`.

Its sound depends on earlier utterances: the pitch flutter, the phase of the wave and the breath
noise continue from one utterance to the next, and no call of its interface resets them. Unloading
the library does, in 0.4 ms, so the library is loaded again for each utterance.
"""

import _ctypes
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asrbench.base.errors import UserError, nearest

RATE_HZ = 22_050
"""The sample rate of what eSpeak NG speaks."""

# From speak_lib.h of eSpeak NG 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

_global_state = threading.Lock()
"""A process has one eSpeak NG, with global state. The lock protects it."""


class _ListedVoice(ctypes.Structure):
    """`espeak_VOICE`. `languages` is a list of (priority byte, string), closed by a zero byte."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Voice:
    """The settings of a voice. `variant`, one of `Engine.variants`, is the timbre."""

    language: str
    variant: str
    pitch: int
    """0 to 99. The variant was designed for 50."""
    pitch_range: int
    """0 (monotone) to 99. The usual value is 50."""
    words_per_minute: int
    """80 to 450. The usual value is 175."""


class Engine:
    """Turns text into samples. Equal calls give equal samples, whatever was spoken in between."""

    def __init__(self) -> None:
        """Raises `UserError` if the extra `synthetic` is not installed or does not start."""
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(
                "synthetic: eSpeak NG is not installed; pip install 'asrbench[synthetic]'"
            ) from None
        self._library = str(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        self._chunks: list[bytes] = []
        # The library keeps only an address. Without this reference Python would free the function.
        self._listener = _Callback(self._listen)
        with self._loaded() as library:
            self.version = library.espeak_Info(None).decode().split()[0]
            self.languages = _languages(library)
        self.variants = sorted(path.name for path in (self._data / "voices" / "!v").iterdir())

    def check_language(self, language: str) -> None:
        """Raises `UserError`, with some allowed names, if eSpeak NG does not know the language."""
        if language not in self.languages:
            raise UserError(
                f"language: found '{language}', allowed: one of the {len(self.languages)} that "
                f"eSpeak NG {self.version} speaks, such as ko, ja, cmn, en-us, de, fr-fr, es"
                f"{nearest(language, self.languages)}"
            )

    def speak(self, text: str, voice: Voice, seed: int = 0) -> npt.NDArray[np.int16]:
        """Returns the samples of `text` at `RATE_HZ`, mono. A text without sound gives only zeros.

        `seed`, below 2^31, draws the noise of breath and fricatives.
        """
        encoded = text.encode() + b"\0"
        with self._loaded() as library:
            library.espeak_ng_SetRandSeed(seed)
            _succeed(library.espeak_SetVoiceByName(f"{voice.language}+{voice.variant}".encode()))
            _succeed(library.espeak_SetParameter(_RATE, voice.words_per_minute, 0))
            _succeed(library.espeak_SetParameter(_PITCH, voice.pitch, 0))
            _succeed(library.espeak_SetParameter(_RANGE, voice.pitch_range, 0))
            self._chunks.clear()
            _succeed(
                library.espeak_Synth(
                    encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
                )
            )
            return np.frombuffer(b"".join(self._chunks), np.int16)

    def _listen(self, samples: int | None, count: int, events: int | None) -> int:
        """Receives `count` samples at an address. Returns 0, which asks for more."""
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    @contextmanager
    def _loaded(self) -> Iterator[ctypes.CDLL]:
        """Yields a newly loaded library, and unloads it afterwards."""
        with _global_state:
            library = _declared(ctypes.CDLL(self._library))
            try:
                rate_hz = library.espeak_Initialize(
                    _AUDIO_OUTPUT_SYNCHRONOUS, 0, str(self._data).encode(), _INITIALIZE_DONT_EXIT
                )
                if rate_hz != RATE_HZ:
                    raise UserError(
                        f"{self._data}: eSpeak NG does not start from here (it answers {rate_hz}, "
                        f"not {RATE_HZ} Hz); install 'asrbench[synthetic]' again"
                    )
                library.espeak_SetSynthCallback(self._listener)
                yield library
                library.espeak_Terminate()
            finally:
                _unload(library)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Sets the types that ctypes would guess wrong: pointers, `size_t` and `long`."""
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_ListedVoice))
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library


def _unload(library: ctypes.CDLL) -> None:
    unload: Callable[[int], Any]
    if sys.platform == "win32":
        unload = _ctypes.FreeLibrary
    else:
        unload = _ctypes.dlclose
    unload(library._handle)


def _succeed(status: int) -> None:
    """Raises `RuntimeError` for the status of a call that failed."""
    if status != 0:
        raise RuntimeError(f"eSpeak NG: a call failed with status {status}")


def _languages(library: ctypes.CDLL) -> list[str]:
    """Returns codes such as `ko` and `en-us`, sorted, without MBROLA voices.

    MBROLA voices need another program.
    """
    listed = library.espeak_ListVoices(None)
    codes: set[str] = set()
    index = 0
    while listed[index]:
        voice = listed[index].contents
        if not voice.identifier.startswith(b"mb/"):
            codes.update(_codes(voice.languages))
        index += 1
    return sorted(codes)


def _codes(address: int) -> Iterator[str]:
    """Yields the codes of one voice, from the list at `address`."""
    while ctypes.string_at(address, 1) != b"\0":
        code = ctypes.string_at(address + 1)
        yield code.decode()
        address += 1 + len(code) + 1
