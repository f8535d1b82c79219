"""Griffin-Lim algorithm: waveforms from magnitude spectrograms."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import griffin_lim
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.inverse_stft import InverseSTFT, check_bins
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions
from ontheflyspec.transforms.stft import STFT
from ontheflyspec.transforms.synthesis import InverseTransform


class GriffinLim(InverseTransform):
    """Fast Griffin-Lim algorithm: waves whose `STFT` has the given magnitudes as nearly as may be.

    Phases are found by going from spectrum to wave and back, each time keeping the phases and a share of the last
    step. An item's own frames alone take part, in every round. The phases to begin with are drawn once and for all
    from the number of the bin and of the frame: a call gives the same wave every time, alone and in a batch, whatever
    the state of global generators. Gradients reach the magnitudes with the phases found taken as constants. Between
    kinds of device rounding may turn the phases of an item's faintest bins, and more with every round.

    Called as ``griffin_lim(magnitudes, lengths=samples)`` it gives exactly so many samples, int64 ``[B]`` on the host,
    as the waves had.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate than ``sample_rate / hop_length`` raise.
        n_fft: samples of a frame, as in `STFT`.
        win_length: samples of the window, as in `STFT`.
        hop_length: samples between frames, as in `STFT`.
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        symmetric, normalized, drop_last: as in `STFT`.
        n_iter: rounds, at least 1.
        momentum: from 0 (the algorithm of 1984) to 1, more is faster and less steady.
        init: phases to begin with: ``"random"`` or ``"zero"``.

    Shape:
        ``[B, F, N]`` to ``[B, T]``, ``[B, C, F, N]`` to ``[B, C, T]``, a Tensor ``[F, N]`` to ``[T]``, with
        ``F = n_fft // 2 + 1`` and ``T = output_lengths(N)``, as in `InverseSTFT`.

    Padding:
        Exactly 0 past each item's samples; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a window and hop from which samples cannot be known, another number of
            bins, a batch of another rate, ``lengths`` that do not belong to the frames.
        TypeError: magnitudes that are not float.

    Matches:
        ``librosa.griffinlim`` from the same phases within 1e-5 of the peak in float64, and as near to the magnitudes
        as its random ones lead (tests/parity/test_griffin_lim.py).

    References:
        Griffin, Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 1984; Perraudin,
        Balazs, Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 128}
        >>> chain = ofs.Compose([ofs.STFT(**options, output="magnitude"), ofs.GriffinLim(**options, n_iter=8)])
        >>> out = chain(ofs.pad([torch.randn(16_000), torch.randn(8_000)], rate=16_000))
        >>> out.data.shape, out.lengths.tolist(), out.rate
        (torch.Size([2, 16000]), [16000, 7936], 16000.0)
    """

    dtypes = None
    points: Tensor

    @hands_on(STFT, without=(*NOT_FRAMES, "backend", "trainable"))
    def __init__(
        self,
        *,
        n_iter: int = 32,
        momentum: float = 0.99,
        init: Literal["random", "zero"] = "random",
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__()
        where = "GriffinLim"
        self.stft = STFT(**frames)
        frames.pop("pad_mode")
        with checks.of_part("InverseSTFT", where):
            self.inverse = InverseSTFT(**frames)
        self.sample_rate, self.frames = self.stft.sample_rate, self.stft.framing
        self.n_iter = checks.integer(where, "n_iter", n_iter)
        self.momentum = checks.number(where, "momentum", momentum, low=0.0, high=1.0)
        self.init = checks.choice(where, "init", init, ("random", "zero"))
        self.keep("points", griffin_lim.circle)

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all; see `functional.griffin_lim.griffin_lim`."""
        check_bins("GriffinLim", self.frames.n_fft, data)
        data = as_float(data)
        points = self.constant("points", data.dtype)
        if self.init == "random":
            first = griffin_lim.random_units(data.shape[-2], data.shape[-1], points)
        else:
            first = points[:1].expand(*data.shape[-2:], 2)
        trip = griffin_lim.RoundTrip(self.inverse.waves, self.stft.transform)
        options: dict[str, Any] = {"sizes": sizes, "size": size, "n_iter": self.n_iter, "momentum": self.momentum}
        return griffin_lim.griffin_lim(data, lengths, first=first, trip=trip, **options)
