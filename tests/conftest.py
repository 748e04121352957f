"""What holds for all tests."""

import torch

# The networks of the tests are small: more threads would wait for each other.
torch.set_num_threads(1)
