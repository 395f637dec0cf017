"""What is reached over HTTP: WeChat and the mini-program on one listener, the technician on another."""
