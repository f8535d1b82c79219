"""The public surface: complete, sorted, documented, and with the signatures that others rely on."""

from __future__ import annotations

import inspect
import re
from types import ModuleType
from typing import Any

import pytest

import ontheflyspec as ofs
from ontheflyspec.augment.base import Augment
from ontheflyspec.transforms.base import Transform

SIGNATURES = """
PaddedBatch(data, lengths, rate, ids=None)
PaddedBatch.mask()
PaddedBatch.filled(value)
PaddedBatch.unpad()
PaddedBatch.to(device=None, dtype=None, non_blocking=False)
PaddedBatch.pin_memory()
Clip(wave, rate, id=None)
WaveformBank(waves, *, rate)
WaveformBank.from_folder(root, *, sample_rate, mono=True, max_seconds=None, on_error='raise', keep='memory')
WaveformBank.from_paths(paths, *, sample_rate, mono=True, max_seconds=None, on_error='raise', keep='memory')
Draw(index, epoch=0, occurrence=0)
pad(waves, *, rate, ids=None)
collate(items)
Collate(transform=None, *, rate=None, sample_rate=None, key=None)
load(path, *, sample_rate=None, dtype=torch.float32, channel=None)
Compose(steps, *, seed=0, key=None)
Parallel(**transforms)
OneOf(steps, *, weights=None, p=1.0, seed=0)
SomeOf(steps, *, n, p=1.0, seed=0)
RandomOrder(steps, *, p=1.0, seed=0)
Sometimes(steps, *, p=0.5, seed=0)
FrameLabels(data, lengths, rate)
Segments(items)
ClipLabels(data, n_classes=None)
Transform()
Augment(*, p=1.0, seed=0)
Gain(*, gain_db)
PeakNormalize(*, peak_db=0.0)
RMSNormalize(*, rms_db=-20.0)
LoudnessNormalize(*, loudness_lufs=-23.0, sample_rate=None)
LowPass(*, cutoff_hz, order=2, zero_phase=True, sample_rate=None)
HighPass(*, cutoff_hz, order=2, zero_phase=True, sample_rate=None)
BandPass(*, center_hz, bandwidth, order=2, zero_phase=True, sample_rate=None)
Telephone(*, low_hz=300.0, high_hz=3400.0, order=4, mu=None, sample_rate=None)
PreEmphasis(*, coefficient=0.97)
MuLaw(*, mu=255.0)
AdjustDuration(*, seconds, crop='start', position='start', sample_rate=None)
TrimSilence(*, top_db=60.0, frame_length=2048, hop_length=512)
STFT(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, pad_mode='reflect', \
symmetric=False, normalized=False, drop_last=False, output='complex', backend='auto', trainable=False, \
freq_scale=None, fmin=None, fmax=None, n_bins=None)
InverseSTFT(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, \
symmetric=False, normalized=False, drop_last=False, freq_scale=None)
GriffinLim(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, \
pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, n_iter=32, momentum=0.99, init='random')
MelSpectrogram(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, \
pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, n_mels=128, fmin=0.0, fmax=None, \
mel_scale='slaney', norm='slaney', power=2.0, backend='auto', trainable=False)
CQT(*, sample_rate, hop_length=512, fmin=32.703, n_bins=84, bins_per_octave=12, filter_scale=1.0, window='hann', \
norm=1, pad_mode='constant', output='complex', filters='librosa', method='auto', trainable=False)
InverseCQT(*, sample_rate, hop_length=512, fmin=32.703, n_bins=84, bins_per_octave=12, gamma=0.0, filter_scale=1.0, \
window='hann', norm=1, filters='librosa', n_iter=16)
VQT(*, sample_rate, hop_length=512, fmin=32.703, n_bins=84, bins_per_octave=12, gamma=None, filter_scale=1.0, \
window='hann', norm=1, pad_mode='constant', output='complex', filters='librosa', method='auto', trainable=False)
BarkSpectrogram(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, \
pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, n_bands=24, fmin=0.0, fmax=None, \
bark_scale='traunmuller', norm=None, power=2.0, backend='auto', trainable=False)
Deltas(*, width=9, order=1)
MFCC(*, sample_rate, n_mfcc=20, lifter=0.0, top_db=80.0, n_fft=2048, win_length=None, hop_length=None, window='hann', \
center=True, pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, n_mels=128, fmin=0.0, fmax=None, \
mel_scale='slaney', norm='slaney', power=2.0, backend='auto', trainable=False)
Gammatonegram(*, sample_rate, n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, \
pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, n_bins=64, fmin=20.0, fmax=None, norm=None, \
power=2.0, method='fft', backend='auto', trainable=False)
InverseMel(*, sample_rate, n_fft=2048, n_mels=128, fmin=0.0, fmax=None, mel_scale='slaney', norm='slaney', power=2.0, \
output='magnitude', n_iter=128)
LFCC(*, sample_rate, n_lfcc=40, n_filter=128, log='db', top_db=80.0, n_fft=2048, win_length=None, hop_length=None, \
window='hann', center=True, pad_mode='reflect', symmetric=False, normalized=False, drop_last=False, fmin=0.0, \
fmax=None, power=2.0, backend='auto', trainable=False)
PCEN(*, sample_rate=None, hop_length=None, gain=0.98, bias=2.0, power=0.5, time_constant=None, eps=1e-06, b=None, \
start='one', trainable=False, n_bands=None)
SpectralDescriptors(*, sample_rate, features=('centroid', 'bandwidth', 'rolloff', 'flatness', 'contrast', 'rms', \
'zero_crossing_rate'), roll_percent=None, n_contrast_bands=None, fmin=None, quantile=None, p=None, amin=None, \
n_fft=2048, win_length=None, hop_length=None, window='hann', center=True, pad_mode='reflect')
HPSS(*, kernel_size=31, power=2.0, margin=1.0, output='harmonic', mask=False)
CFP(*, sample_rate, n_fft=None, win_length=2049, hop_length=320, window='blackmanharris', center=True, \
pad_mode='constant', fmin=80.0, fmax=1000.0, bins_per_octave=48, gamma=(0.24, 0.6, 1.0), filters='triangular', \
output='cfp')
Chroma(*, sample_rate, source='stft', n_chroma=12, n_fft=None, win_length=None, hop_length=512, window=None, \
center=None, pad_mode='constant', norm=inf, tuning=0.0, ctroct=None, octwidth=2.0, base_c=True, fmin=None, \
n_octaves=None, bins_per_octave=None, threshold=None, win_len_smooth=41, backend='auto', trainable=False)
Tonnetz(*, sample_rate, source='cqt', n_chroma=12, n_fft=None, win_length=None, hop_length=512, window=None, \
center=None, pad_mode='constant', tuning=0.0, ctroct=None, octwidth=2.0, base_c=True, fmin=None, n_octaves=None, \
bins_per_octave=None, threshold=None, win_len_smooth=41, backend='auto', trainable=False)
HarmonicCQT(*, sample_rate, harmonics=(0.5, 1, 2, 3, 4, 5), hop_length=256, fmin=32.703, n_bins=360, \
bins_per_octave=60, filter_scale=1.0, window='hann', norm=1, pad_mode='constant', output='magnitude', \
filters='librosa', method='auto', trainable=False)
LearnableFilterbank(*, sample_rate, n_filters=40, filter_length=401, hop_length=160, kind='gabor', pooling='gaussian', \
pooling_length=401, pcen=True, init='mel', fmin=60.0, fmax=None, trainable=True)
AmplitudeToDB(*, stype='power', ref=1.0, amin=1e-10, top_db=None)
Log(*, floor=1e-10)
Normalize(*, per='item', mean=None, std=None, eps=1e-05, ddof=0)
Normalize.fit(batches)
Resample(*, sample_rate, new_sample_rate)
augment.Gain(*, gain_db=(-12.0, 6.0), p=1.0, seed=0)
augment.PitchShift(*, semitones=(-4.0, 4.0), p=1.0, seed=0)
augment.PolarityInversion(*, p=1.0, seed=0)
augment.AddColoredNoise(*, snr_db=(5.0, 30.0), f_decay=(-2.0, 2.0), p=1.0, seed=0)
augment.AddBackgroundNoise(bank, *, snr_db=None, level_db=None, noise_transform=None, p=1.0, seed=0)
augment.ApplyImpulseResponse(bank, *, part='whole', tail=False, p=1.0, seed=0)
augment.SimulateRoom(*, rt60_s=(0.1, 0.8), drr_db=(-6.0, 12.0), p=1.0, seed=0)
augment.ShortNoises(bank, *, snr_db=(0.0, 24.0), gap_s=(0.5, 4.0), duration_s=(0.1, 1.0), fade_s=0.02, \
max_noises=16, p=1.0, seed=0)
augment.Babble(bank, *, n_speakers=(3, 7), snr_db=(13.0, 20.0), p=1.0, seed=0)
augment.SpecAugment(*, n_time_masks=2, time_mask_param=40, n_freq_masks=2, freq_mask_param=15, fill='mean', \
max_time_share=1.0, time_warp_param=0, p=1.0, seed=0)
augment.FrequencyShift(*, shift_bands=(-4, 4), fill='mean', p=1.0, seed=0)
augment.VTLP(*, alpha=(0.9, 1.1), boundary=0.6, frequencies=None, fmax=None, p=1.0, seed=0)
augment.FilterAugment(*, n_bands=(3, 6), gain_db=(-6.0, 6.0), shape='linear', stype='power', min_bandwidth=6, p=1.0, \
seed=0)
augment.TimeShift(*, shift_s=(-0.1, 0.1), mode='circular', fade_s=0.0, p=1.0, seed=0)
augment.Speed(*, factor=(0.9, 1.1), p=1.0, seed=0)
augment.AdjustDuration(*, seconds, position='start', sample_rate=None, p=1.0, seed=0)
augment.ChunkSwap(*, n_chunks=4, p=1.0, seed=0)
augment.RandomCrop(*, seconds, sample_rate=None, p=1.0, seed=0)
augment.TimeInversion(*, p=1.0, seed=0)
augment.TimeMask(*, n_masks=1, fraction=(0.0, 0.2), fade_s=0.0, fill='zero', p=1.0, seed=0)
augment.TrimSilence(*, top_db=60.0, frame_length=2048, hop_length=512, p=1.0, seed=0)
augment.TimeStretch(*, rate=(0.8, 1.25), p=1.0, seed=0)
augment.LowPass(*, cutoff_hz=(150.0, 7500.0), order=2, zero_phase=True, p=1.0, seed=0)
augment.HighPass(*, cutoff_hz=(20.0, 2400.0), order=2, zero_phase=True, p=1.0, seed=0)
augment.BandPass(*, center_hz=(200.0, 4000.0), bandwidth=(0.5, 1.99), order=2, zero_phase=True, p=1.0, seed=0)
augment.BandStop(*, center_hz=(200.0, 4000.0), bandwidth=(0.5, 1.99), order=2, zero_phase=True, p=1.0, seed=0)
augment.PeakingEQ(*, center_hz=(50.0, 7500.0), gain_db=(-24.0, 24.0), q=(0.5, 5.0), p=1.0, seed=0)
augment.LowShelf(*, cutoff_hz=(50.0, 4000.0), gain_db=(-18.0, 18.0), q=(0.1, 0.999), p=1.0, seed=0)
augment.HighShelf(*, cutoff_hz=(300.0, 7500.0), gain_db=(-18.0, 18.0), q=(0.1, 0.999), p=1.0, seed=0)
augment.SevenBandEQ(*, gain_db=(-12.0, 12.0), p=1.0, seed=0)
augment.PreEmphasis(*, coefficient=0.97, p=1.0, seed=0)
augment.Clip(*, percentile=(0.0, 40.0), p=1.0, seed=0)
augment.TanhDistortion(*, amount=(0.01, 0.7), p=1.0, seed=0)
augment.BitCrush(*, bits=(5, 14), p=1.0, seed=0)
augment.MuLaw(*, mu=255.0, p=1.0, seed=0)
augment.Telephone(*, low_hz=300.0, high_hz=3400.0, order=4, mu=None, p=1.0, seed=0)
augment.GainTransition(*, gain_db=(-24.0, 6.0), duration_s=(0.2, 6.0), p=1.0, seed=0)
augment.Fade(*, fade_in_s=(0.0, 0.1), fade_out_s=(0.0, 0.1), shape='linear', p=1.0, seed=0)
augment.PeakNormalize(*, peak_db=0.0, p=1.0, seed=0)
augment.RMSNormalize(*, rms_db=(-30.0, -15.0), p=1.0, seed=0)
augment.LoudnessNormalize(*, loudness_lufs=(-31.0, -13.0), p=1.0, seed=0)
augment.SpecCutout(*, n_holes=5, max_frames=40, max_bands=15, fill='mean', p=1.0, seed=0)
augment.MixUp(*, alpha=0.4, weight=None, kind='wave', p=1.0, seed=0)
augment.MixUp.targets(labels, params, *, n_classes=None)
augment.CutMix(*, alpha=1.0, weight=None, kind='wave', p=1.0, seed=0)
augment.CutMix.targets(labels, params, *, n_classes=None)
augment.ChannelShuffle(*, kind='wave', p=1.0, seed=0)
augment.ChannelDrop(*, n=1, share=None, kind='wave', fill='zero', p=1.0, seed=0)
augment.SpecAugment.policy(name, *, fill='mean', p=1.0, seed=0)
AudioDataset(paths, targets=None, *, sample_rate, mono=True, max_seconds=None, crop='random', on_error='raise', \
max_failures=None, progress=True, dtype=torch.float32, window_seconds=None, hop_seconds=None, last='pad', \
channel=None, classes=None, separator=None, text=False)
AudioDataset.from_folder(root, *, sample_rate, mono=True, max_seconds=None, crop='random', on_error='raise', \
max_failures=None, progress=True, dtype=torch.float32, window_seconds=None, hop_seconds=None, last='pad', \
channel=None, classes=None)
AudioDataset.from_manifest(path, *, sample_rate, mono=True, max_seconds=None, crop='random', on_error='raise', \
max_failures=None, progress=True, dtype=torch.float32, window_seconds=None, hop_seconds=None, last='pad', \
channel=None, classes=None, separator=None)
AudioDataset.subset(indices)
AudioDataset.split(fraction, *, seed=0, stratify=True)
AudioDataset.with_options(**options)
AudioDataset.concat(sets, *, weights=None)
AudioDataset.locate(ids)
AudioDataset.merge_windows(scores, ids, *, rate=None)
BucketBatchSampler(lengths, *, max_samples, max_items=None, shuffle=True, seed=0, rank=None, world_size=None, \
drop_last=False, pool=4096, quantise_samples=1, weights=None)
AudioLoader(dataset, sampler, *, transform=None, device='cpu', threads=None, dtype=torch.float32)
DeviceLoader(loader, transform=None, *, device='auto', graphs=False, key=None)
plot_batch(batches, *, front_end=None, titles=None, max_items=4)
""".strip().splitlines()

SPACES: dict[str, Any] = {"": ofs, "augment.": ofs.augment}
PUBLIC = {
    prefix + name: getattr(space, name)
    for prefix, space in SPACES.items()
    for name in space.__all__
    if not isinstance(getattr(space, name), ModuleType)
}
BASES = {Transform, Augment}
STEPS = {
    name: kind
    for name, kind in PUBLIC.items()
    if inspect.isclass(kind) and issubclass(kind, Transform | Augment) and kind not in BASES
}


def signature(path: str) -> inspect.Signature:
    value: Any = ofs
    for part in path.split("."):
        value = getattr(value, part)
    found = inspect.signature(value)
    kept = [one.replace(annotation=inspect.Parameter.empty) for one in found.parameters.values() if one.name != "self"]
    return found.replace(parameters=kept, return_annotation=inspect.Signature.empty)


@pytest.mark.parametrize("line", SIGNATURES, ids=lambda line: line.split("(")[0])
def test_signature(line: str) -> None:
    path = line.split("(")[0]
    assert path + str(signature(path)) == line


def test_every_public_name_has_a_signature_here() -> None:
    named = {line.split("(")[0] for line in SIGNATURES}
    assert {name for name in named if "." not in name.removeprefix("augment.")} == set(PUBLIC)


@pytest.mark.parametrize("space", SPACES.values(), ids=["ontheflyspec", "ontheflyspec.augment"])
def test_all_is_sorted_and_complete(space: Any) -> None:
    """Constants first, then classes, then functions, as ruff sorts; and nothing public is left out."""
    names = space.__all__

    def kind(name: str) -> int:
        return 0 if name.isupper() else 1 if name[0].isupper() else 2

    assert names == sorted(names, key=lambda name: (kind(name), name))
    assert len(set(names)) == len(names)
    shown = {
        name
        for name, value in vars(space).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "").startswith("ontheflyspec")
    }
    assert shown - set(names) == set()


def section(text: str, title: str) -> str:
    """Returns what stands under a title of a docstring, or nothing."""
    match = re.search(rf"^{title}:\n((?:[ \t]+.*\n?|\n)*)", inspect.cleandoc(text), re.MULTILINE)
    return match[1] if match else ""


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "collate"])
def test_docstring(name: str) -> None:
    value = PUBLIC[name]
    text = inspect.getdoc(value) or ""
    summary = text.split("\n\n")[0]
    assert summary.endswith((".", ":")), "the summary is a sentence"
    arguments = section(text, "Args")
    for parameter in signature(name).parameters:
        assert re.search(rf"^\s+(\S+, )*{parameter}(, \S+)*: ", arguments, re.MULTILINE), (
            f"Args does not tell {parameter}"
        )
    made = vars(value).get("__init__") if inspect.isclass(value) else value
    source = inspect.getsource(made) if made else ""
    if "raise " in source or "checks." in source:
        assert section(text, "Raises"), "says what it raises"
    if name != "Clip":
        assert ">>>" in section(text, "Example"), "shows an example"


@pytest.mark.parametrize("name", STEPS)
def test_docstring_of_a_step(name: str) -> None:
    text = inspect.getdoc(STEPS[name]) or ""
    if name not in ("Compose", "OneOf", "SomeOf", "RandomOrder", "Sometimes"):
        assert section(text, "Shape"), "says shapes"
        assert section(text, "Padding"), "says what becomes of padding"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_methods_are_documented(name: str) -> None:
    value = PUBLIC[name]
    if not inspect.isclass(value):
        return
    for method, found in vars(value).items():
        if not method.startswith("_") and (callable(found) or isinstance(found, property | classmethod)):
            assert (inspect.getdoc(getattr(value, method)) or "").strip(), f"{name}.{method} has no docstring"


def test_steps_are_final() -> None:
    for name, kind in STEPS.items():
        steps = {*STEPS.values()}.intersection(kind.__mro__[1:])
        assert not steps, f"{name} derives from {steps}"


@pytest.mark.parametrize("name", [name for name in STEPS if "hop_length" in signature(name).parameters])
def test_errors_name_what_was_called(name: str) -> None:
    """Not a transform inside it, which the caller never named."""
    asked = {"sample_rate": 22_050} if "sample_rate" in signature(name).parameters else {}
    shown = name.removeprefix("augment.")
    with pytest.raises(ValueError, match=rf"^{shown}: expected hop_length to be an integer of at least 1.*, got 0\."):
        STEPS[name](**asked, hop_length=0)
