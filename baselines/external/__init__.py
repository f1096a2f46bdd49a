"""Other people's methods: data that says how their own programs are run, and the code that runs and checks them.

`declaration` is what an adapter writes. Nothing here downloads anything or changes a checkout's tracked files.
"""
