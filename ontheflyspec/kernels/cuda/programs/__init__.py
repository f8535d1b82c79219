"""Programs in Triton's language, which the kernels beside this folder launch; nobody else imports them."""
