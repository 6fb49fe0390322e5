"""Networks built from a neuron factory, a norm factory and sizes; they know no dataset."""

from snnbench.backbones.base import Backbone
from snnbench.backbones.convnet import ConvNet
from snnbench.backbones.ms import MSResNet
from snnbench.backbones.plif import PLIFNet
from snnbench.backbones.preact import PreActResNet
from snnbench.backbones.psn import PSNNet, SeqNet
from snnbench.backbones.resnet import ResNet, ResNet19, ResNet20
from snnbench.backbones.resnet_glif import GLIFResNet
from snnbench.backbones.sew import SEWNet, SEWResNet
from snnbench.backbones.vgg import VGG, VGGSNN

__all__ = [
    "VGG",
    "VGGSNN",
    "Backbone",
    "ConvNet",
    "GLIFResNet",
    "MSResNet",
    "PLIFNet",
    "PSNNet",
    "PreActResNet",
    "ResNet",
    "ResNet19",
    "ResNet20",
    "SEWNet",
    "SEWResNet",
    "SeqNet",
]
