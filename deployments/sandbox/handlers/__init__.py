"""Request handlers. Each takes the call as its argument; `server.py` collects their routes."""
