"""What is in memory and how it computes: devices, numbers, memory, stopping."""
