"""Networks built from a neuron factory, a norm factory and sizes; they know no dataset."""

from snnbench.backbones.base import Backbone
from snnbench.backbones.convnet import ConvNet
from snnbench.backbones.resnet import ResNet, ResNet19, ResNet20

__all__ = ["Backbone", "ConvNet", "ResNet", "ResNet19", "ResNet20"]
