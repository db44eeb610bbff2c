"""A small network for handwritten digits of 8 x 8 pixels."""

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10
SIDE = 8


class DigitsCnn(nn.Module):
    """Three convolutions and a linear layer, with 30,634 weights."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(1, width, kernel_size=3, padding=1)
        self.conv_2 = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.conv_3 = nn.Conv2d(width, 2 * width, kernel_size=3, padding=1)
        self.dropout = nn.Dropout(0.3)
        self.classes = nn.Linear(2 * width * (SIDE // 4) ** 2, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Classify a batch.

        Args:
            image: (B, 1, 8, 8) float32 in [0, 1]; 1 is ink.

        Returns:
            (B, 10) float32, a logit for each digit.
        """
        x = functional.relu(self.conv_1(image))  # (B, C, 8, 8)
        x = functional.max_pool2d(functional.relu(self.conv_2(x)), 2)  # (B, C, 4, 4)
        x = functional.max_pool2d(functional.relu(self.conv_3(x)), 2)  # (B, 2C, 2, 2)
        x = self.dropout(torch.flatten(x, 1))  # (B, 8C)
        return self.classes(x)  # type: ignore[no-any-return]  # (B, 10)
