"""A whole machine without an account or hardware: simulated WeChat Pay, the customer's phone, and the demo."""
