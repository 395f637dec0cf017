"""Ways to be paid. The rest of the kiosk knows only `gateway`."""
