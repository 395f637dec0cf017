"""Boards that speak Modbus RTU: relay boards with a timed pulse, and the coil driver ZDM8."""
