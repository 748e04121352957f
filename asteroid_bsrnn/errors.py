"""The one exception for mistakes that a user can make and mend."""


class UserError(ValueError):
    """A wrong file, name, option or value: one line that says what, why and what to do.

    The command line prints the message alone and exits with code 2; programs may catch it as
    the `ValueError` it is.
    """
