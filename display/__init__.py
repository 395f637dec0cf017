"""The customer's screen: a scene of frozen values, painted into an image, shown on a framebuffer or in a file.

Knows nothing of money, of WeChat, or of the kiosk package: every word on the screen comes with the scene.
"""
