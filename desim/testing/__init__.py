"""What one needs to drive one core alone, without a machine: a clock, memory, a wire."""
