"""TCN / Zhongji (中吉) coil boards: codec, driver, simulator."""
