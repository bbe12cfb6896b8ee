"""The tests. Their folders mirror those of the package."""

import pytest

pytest.register_assert_rewrite("tests.helpers")  # so that what fails there shows its values too
