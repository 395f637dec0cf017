"""The WeChat Pay v2 interface: signatures, XML, calls, links and notifications."""
