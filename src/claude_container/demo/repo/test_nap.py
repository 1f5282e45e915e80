"""Nobody should be woken early."""

import unittest

from nap import parse_nap


class ParseNapTest(unittest.TestCase):
    def test_short_nap(self) -> None:
        self.assertEqual(parse_nap("5m"), 300)

    def test_power_nap(self) -> None:
        self.assertEqual(parse_nap("20m"), 1200)

    def test_sunday_nap(self) -> None:
        self.assertEqual(parse_nap("1h30m"), 5400)
