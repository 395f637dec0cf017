"""The mini-program's side of the machine: who its customers are, what they may ask how often, what they are told."""
