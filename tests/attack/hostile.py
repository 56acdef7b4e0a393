"""x"""
ATTACKS = ()
