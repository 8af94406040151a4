"""Registers the built-in parts, through the same hooks as any plug-in."""

from __future__ import annotations

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Box
from ambientkit.builtin.attacks.masks import Mask as MaskAttack
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.array_folder import ArrayFolder
from ambientkit.builtin.data.corrupted import Corrupted
from ambientkit.builtin.data.dataset import Given
from ambientkit.builtin.data.dicom import DICOM
from ambientkit.builtin.data.digits import Digits
from ambientkit.builtin.data.fashion_mnist import FashionMNIST
from ambientkit.builtin.data.fits import FITS
from ambientkit.builtin.data.hdf5 import HDF5
from ambientkit.builtin.data.hf_dataset import HFDataset
from ambientkit.builtin.data.image_folder import ImageFolder
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.builtin.data.kspace import KSpace
from ambientkit.builtin.data.masked import Masked
from ambientkit.builtin.data.mixture import Mixture
from ambientkit.builtin.data.mrc import MRC
from ambientkit.builtin.data.nifti import NIfTI
from ambientkit.builtin.data.photo_patches import PhotoPatches
from ambientkit.builtin.data.tiff_stack import TiffStack
from ambientkit.builtin.data.webdataset import WebDataset
from ambientkit.builtin.data.zarr_array import Zarr
from ambientkit.builtin.extractors.dinov2 import DINOv2
from ambientkit.builtin.extractors.efficientnet import EfficientNetLite0
from ambientkit.builtin.extractors.inception import Inception
from ambientkit.builtin.extractors.lenet import LeNet
from ambientkit.builtin.extractors.patches import Patches
from ambientkit.builtin.extractors.pixels import Pixels
from ambientkit.builtin.memory_measures.comparisons import Authenticity, DataCopying, MiFID, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.naive import Naive
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.recipes import (
    FewRows,
    SamplesFirst,
    TweedieConsistency,
    TweedieConsistencyBuffer,
    TweedieDetail,
)
from ambientkit.builtin.objectives.split_levels import SplitLevels
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.hookspecs import hookimpl


@hookimpl
def register_corruptions():
    """White Gaussian noise of known level, masks, and measurements through operators."""
    return [Gaussian, Linear, Mask]


@hookimpl
def register_objectives():
    """What an ambient denoiser is trained by, and arms to compare with."""
    return [Tweedie, Consistency, DetailMoments, PosteriorBuffer, Sure, SplitLevels, Denoising, Naive]


@hookimpl
def register_recipes():
    """The lists of objectives that `--objective` names."""
    return [TweedieConsistency, TweedieConsistencyBuffer, TweedieDetail, FewRows, SamplesFirst]


@hookimpl
def register_samplers():
    """The reverse processes: two that draw from the reverse kernel, one that follows the flow."""
    return [Ancestral, StochasticHeun, Heun]


@hookimpl
def register_models():
    """The small network for points and small pictures."""
    return [MLP]


@hookimpl
def register_datasets():
    """Readers of files and arrays, and data sets that come with a package or are made."""
    files = [
        Array,
        ArrayFolder,
        ImageFolder,
        TiffStack,
        HDF5,
        Zarr,
        FITS,
        NIfTI,
        DICOM,
        MRC,
        WebDataset,
        HFDataset,
        Corrupted,
    ]
    files += [Masked, KSpace]
    return [*files, Digits, FashionMNIST, PhotoPatches, Mixture, InMemory, Given]


@hookimpl
def register_extractors():
    """Features that samples are compared in."""
    return [DINOv2, EfficientNetLite0, Inception, LeNet, Patches, Pixels]


@hookimpl
def register_similarities():
    """In what rows are near, for memorisation."""
    return [PixelValues, Correlation]


@hookimpl
def register_attacks():
    """Restorations of corrupted rows, and the loss."""
    return [Noise, MaskAttack, Box, Loss]


@hookimpl
def register_memory_measures():
    """Shares of samples that lie too near to a training row, and comparisons with held-out rows."""
    return [Ratio, Distance, Third, DataCopying, Authenticity, TrainGap, MiFID]


@hookimpl
def register_checks():
    """The checks of every claim, and of the contracts."""
    # Some thousand lines that only `verify` needs: loaded when they are asked for.
    from ambientkit.builtin.checks.alike import BrightnessFree, SimilarityRows
    from ambientkit.builtin.checks.attacks import FindsMemory, NullAttack
    from ambientkit.builtin.checks.clean_rows_low import CleanRowsLow
    from ambientkit.builtin.checks.copies_seen import BlurProof, SeesCopies
    from ambientkit.builtin.checks.corruption_contract import CorruptionContract
    from ambientkit.builtin.checks.corruption_rows import CorruptionRows
    from ambientkit.builtin.checks.degrade_law import DegradeLaw
    from ambientkit.builtin.checks.denoiser_contract import DenoiserContract
    from ambientkit.builtin.checks.detached_anchor import DetachedAnchor
    from ambientkit.builtin.checks.detail import DetailPower, DetailStationarity
    from ambientkit.builtin.checks.expect import Expect
    from ambientkit.builtin.checks.final_law import FinalLaw
    from ambientkit.builtin.checks.floor import Floor
    from ambientkit.builtin.checks.forms import CleanForm, EpsForm, FlowForm, VForm
    from ambientkit.builtin.checks.further_mask import FurtherMask
    from ambientkit.builtin.checks.grid import Grid
    from ambientkit.builtin.checks.half_backward import HalfBackward
    from ambientkit.builtin.checks.keyed import Keyed
    from ambientkit.builtin.checks.levels import LevelsAboveFloor
    from ambientkit.builtin.checks.mask_law import MaskLaw
    from ambientkit.builtin.checks.masked_expect import MaskedExpect, MaskedWeight
    from ambientkit.builtin.checks.measure_contract import MeasureContract
    from ambientkit.builtin.checks.measured import OperatorExpect, OperatorViews, StationarityUnderOperators
    from ambientkit.builtin.checks.model_contract import ModelContract
    from ambientkit.builtin.checks.model_scaling import ModelScaling
    from ambientkit.builtin.checks.noise_law import NoiseLaw
    from ambientkit.builtin.checks.objective_contract import ObjectiveContract
    from ambientkit.builtin.checks.order import FirstOrder, SecondOrder
    from ambientkit.builtin.checks.other_fields import CorruptionFields, ModelFields, ObjectiveFields, SamplerFields
    from ambientkit.builtin.checks.picture_law import PictureLaw
    from ambientkit.builtin.checks.picture_stationarity import PictureStationarity
    from ambientkit.builtin.checks.picture_views import PictureViews
    from ambientkit.builtin.checks.point_kernel import PointKernel
    from ambientkit.builtin.checks.points_at_level import PointsAtLevel
    from ambientkit.builtin.checks.power import Power
    from ambientkit.builtin.checks.preconditioning import EDMPreconditioning
    from ambientkit.builtin.checks.reverse_kernel import ReverseKernel
    from ambientkit.builtin.checks.sampler_contract import SamplerContract
    from ambientkit.builtin.checks.sampler_noise import SamplerNoise
    from ambientkit.builtin.checks.sampler_rows import SamplerRows
    from ambientkit.builtin.checks.scale import Scale
    from ambientkit.builtin.checks.stationarity import Stationarity
    from ambientkit.builtin.checks.stationarity_by_pixel import StationarityByPixel
    from ambientkit.builtin.checks.stationarity_masked import ScaleUnderMasks, StationarityUnderMasks
    from ambientkit.builtin.checks.symmetric import SymmetricDegrade
    from ambientkit.builtin.checks.value_unbiased import ValueUnbiased
    from ambientkit.builtin.checks.views import ViewsInLaw

    objectives = [
        ObjectiveContract,
        PictureLaw,
        PictureStationarity,
        PictureViews,
        Stationarity,
        StationarityByPixel,
        Power,
        ViewsInLaw,
        LevelsAboveFloor,
        CleanRowsLow,
        Scale,
        ValueUnbiased,
        DetachedAnchor,
        HalfBackward,
        StationarityUnderMasks,
        ScaleUnderMasks,
        DetailStationarity,
        DetailPower,
        StationarityUnderOperators,
    ]
    samplers = [
        SamplerContract,
        SamplerNoise,
        FinalLaw,
        FirstOrder,
        SecondOrder,
        ReverseKernel,
        PointKernel,
        PointsAtLevel,
        SamplerRows,
        Grid,
    ]
    corruptions = [CorruptionContract, NoiseLaw, DegradeLaw, Expect, Floor, Keyed, SymmetricDegrade, CorruptionRows]
    corruptions += [MaskLaw, FurtherMask, MaskedExpect, MaskedWeight, OperatorViews, OperatorExpect]
    models = [ModelContract, ModelScaling, DenoiserContract, EDMPreconditioning, EpsForm, VForm, FlowForm, CleanForm]
    fields = [ObjectiveFields, SamplerFields, CorruptionFields, ModelFields]
    memory = [NullAttack, FindsMemory, SimilarityRows, BrightnessFree, SeesCopies, BlurProof, MeasureContract]
    return [*objectives, *samplers, *corruptions, *models, *fields, *memory]


@hookimpl
def register_mutants():
    """Parts that are wrong on purpose, which the checks must reject."""
    from ambientkit.builtin.mutants import (
        ancestral,
        anew,
        coarse,
        consistency,
        contracts,
        coverage,
        detail_moments,
        gaussian,
        gaussian_noise,
        heun,
        linear,
        mask,
        memory,
        models,
        modes,
        naive,
        narrow,
        narrow_views,
        offered,
        outlasting,
        said,
        same_bits,
        seldom,
        seldom_parts,
        split_levels,
        sure,
        taught,
        together,
        tweedie,
    )
    from ambientkit.builtin.mutants import posterior_buffer as posterior_buffers
    from ambientkit.builtin.mutants import stochastic_heun as stochastic_heuns

    objectives = [*tweedie.MUTANTS, *consistency.MUTANTS, *posterior_buffers.MUTANTS, *sure.MUTANTS, *naive.MUTANTS]
    objectives += [*split_levels.MUTANTS, *detail_moments.MUTANTS, *coverage.MUTANTS]
    corruptions = [*gaussian.MUTANTS, *gaussian_noise.MUTANTS, *mask.MUTANTS, *linear.MUTANTS]
    corruptions += same_bits.MUTANTS
    samplers = [*ancestral.MUTANTS, *stochastic_heuns.MUTANTS, *heun.MUTANTS]
    others = [*models.MUTANTS, *modes.MUTANTS, *contracts.MUTANTS, *taught.MUTANTS, *memory.MUTANTS]
    others += [*said.MUTANTS, *anew.MUTANTS, *offered.MUTANTS, *together.MUTANTS, *outlasting.MUTANTS]
    others += [*narrow.MUTANTS, *narrow_views.MUTANTS, *seldom.MUTANTS, *seldom_parts.MUTANTS]
    others += coarse.MUTANTS
    return [*objectives, *corruptions, *samplers, *others]
