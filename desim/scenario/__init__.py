"""From the user's words to a configuration: scenario files and QEMU's options.

``loader`` reads a scenario file by the tables of keys in ``schema``,
``qemu_options`` a QEMU command line, ``shipped`` finds scenarios by name. They all
end in :class:`desim.config.MachineConfig`, or in a
:class:`desim.errors.UserError` that names every mistake at once.
"""
