"""Networks built from a neuron factory, a norm factory and sizes; they know no dataset."""

from snnbench.backbones.base import Backbone
from snnbench.backbones.convnet import ConvNet
from snnbench.backbones.ltmd import DenseNet, LTMDNet
from snnbench.backbones.ms import MSResNet
from snnbench.backbones.nf import NFResNet
from snnbench.backbones.plif import PLIFNet
from snnbench.backbones.preact import PreActResNet
from snnbench.backbones.psn import PSNNet, SeqNet
from snnbench.backbones.qkformer import QKFormer
from snnbench.backbones.resnet import ResNet, ResNet19, ResNet20
from snnbench.backbones.resnet_glif import GLIFResNet
from snnbench.backbones.sew import SEWResNet
from snnbench.backbones.sew_small import SEWNet, SEWResNet19
from snnbench.backbones.sml import SMLResNet
from snnbench.backbones.transformer import SpikingTransformer
from snnbench.backbones.vgg import VGG, VGGSNN

__all__ = [
    "VGG",
    "VGGSNN",
    "Backbone",
    "ConvNet",
    "DenseNet",
    "GLIFResNet",
    "LTMDNet",
    "MSResNet",
    "NFResNet",
    "PLIFNet",
    "PSNNet",
    "PreActResNet",
    "QKFormer",
    "ResNet",
    "ResNet19",
    "ResNet20",
    "SEWNet",
    "SEWResNet",
    "SEWResNet19",
    "SMLResNet",
    "SeqNet",
    "SpikingTransformer",
]
