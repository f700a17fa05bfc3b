from .add_audio_noise import AddAudioNoise as AddAudioNoise
from .add_image_noise import AddImageNoise as AddImageNoise
from .add_noise import AddNoise as AddNoise
from .add_typos import AddTypos as AddTypos
from .balance_classes import BalanceClasses as BalanceClasses
from .balance_classes import BalancedClasses as BalancedClasses
from .balance_groups import BalancedGroups as BalancedGroups
from .balance_groups import BalanceGroups as BalanceGroups
from .crop_image import CropImage as CropImage
from .delete_words import DeleteWords as DeleteWords
from .flip_image import FlipImage as FlipImage
from .replace_words import ReplaceAntonyms as ReplaceAntonyms
from .replace_words import ReplaceSynonyms as ReplaceSynonyms
from .shift_audio import ShiftAudio as ShiftAudio
from .swap_words import SwapWords as SwapWords

__all__: list[str]
