"""From published data sets to manifests: `importing` runs an import, one module a layout finds its recordings.

`seamless`, `casual` and `folder` turn a folder into `Recording`s (`recordings`); `cutting` cuts them to where the
person speaks (`speech` hears it where the data set does not tell); `facts` remembers what was learnt of a file.
"""
