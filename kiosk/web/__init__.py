"""What is reached over HTTP: WeChat and the mini-program on one listener, the technician on another."""

SERVER_NAME = "kiosk"  # what both listeners call themselves: no version for a stranger, a sign for `kiosk check`
MAX_HEADER_BYTES = 8 * 1024  # of a request's head, for both
