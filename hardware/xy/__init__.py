"""XY / Xing Yuan boards ("VMC - upper computer" V3, frames FA FB): codec, driver, simulator."""
