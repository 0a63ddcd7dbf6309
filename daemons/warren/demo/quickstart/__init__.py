"""The quickstart: the whole suite on one machine for a minute, checked by the API's own record."""
