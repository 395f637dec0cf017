"""The customer's screen: a scene of frozen values, painted and shown on a framebuffer, in a window or in a file.

Knows nothing of money, of WeChat, or of the kiosk package: every word on the screen comes with the scene.
"""
