"""The package's own kinds of attention, encoders and heads: one line each.

A user's plug-in registers its kinds by the same calls.
"""

from asrbench.experiment.spec_model import ATTENTION, ENCODERS, HEADS
from asrbench.models.attention.additive import AdditiveAttention, AdditiveAttentionBlock
from asrbench.models.attention.block import NoAttention, NoAttentionBlock
from asrbench.models.attention.head_mixing import HeadMixing, HeadMixingBlock
from asrbench.models.attention.location import LocationAttention, LocationAttentionBlock
from asrbench.models.attention.positional import PositionalAttention, positional_block
from asrbench.models.attention.self_attention import SelfAttention, SelfAttentionBlock
from asrbench.models.attention.temporal import TemporalAttention, TemporalWeightBlock
from asrbench.models.attention.whisper import WhisperAttention, WhisperAttentionBlock
from asrbench.models.encoders.conformer import Conformer, ConformerSpec
from asrbench.models.encoders.deepspeech2 import DeepSpeech2, DeepSpeech2Spec
from asrbench.models.encoders.jasper import Jasper, JasperSpec
from asrbench.models.encoders.pyramid import Pyramid, PyramidSpec
from asrbench.models.encoders.transformer import Transformer, TransformerSpec
from asrbench.models.encoders.whisper import Whisper, WhisperSpec
from asrbench.models.heads.attention import AttentionHead, AttentionHeadSpec
from asrbench.models.heads.ctc import Ctc, CtcSpec
from asrbench.models.heads.ctc_attention import CtcAttention, CtcAttentionSpec
from asrbench.models.heads.transducer import Transducer, TransducerSpec

ATTENTION.register(NoAttention, NoAttentionBlock)
ATTENTION.register(SelfAttention, SelfAttentionBlock)
ATTENTION.register(PositionalAttention, positional_block)
ATTENTION.register(TemporalAttention, TemporalWeightBlock)
ATTENTION.register(AdditiveAttention, AdditiveAttentionBlock)
ATTENTION.register(LocationAttention, LocationAttentionBlock)
ATTENTION.register(HeadMixing, HeadMixingBlock)
ATTENTION.register(WhisperAttention, WhisperAttentionBlock)

ENCODERS.register(DeepSpeech2Spec, DeepSpeech2)
ENCODERS.register(TransformerSpec, Transformer)
ENCODERS.register(ConformerSpec, Conformer)
ENCODERS.register(WhisperSpec, Whisper)
ENCODERS.register(PyramidSpec, Pyramid)
ENCODERS.register(JasperSpec, Jasper)

HEADS.register(CtcSpec, Ctc)
HEADS.register(AttentionHeadSpec, AttentionHead)
HEADS.register(CtcAttentionSpec, CtcAttention)
HEADS.register(TransducerSpec, Transducer)
