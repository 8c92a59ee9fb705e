"""For tests/schemathesis.sh: each request comes from an address of its own, as those of strangers do.

Wrong admin tokens are limited by address, and meanwhile the right one from there has to wait, too: from one address there
would be little to see but that. Schemathesis is not told: it would take the header for a part of what it has generated.
"""

import itertools

import requests

numbers = itertools.count(1)
send = requests.Session.send


def send_from_elsewhere(self, request, **options):
    number = next(numbers)
    request.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return send(self, request, **options)


requests.Session.send = send_from_elsewhere
