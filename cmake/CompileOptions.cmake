if(EXACTNORM_SANITIZE)
  add_compile_options(-fsanitize=${EXACTNORM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EXACTNORM_SANITIZE})
endif()

# The options of every target of this project; none reaches those who link the library.
function(exactnorm_compile_options target)
  # Without -ffp-contract=off compilers fuse a * b + c as they like, and the proofs of the kernels fail.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wsign-conversion -ffp-contract=off)
  if(EXACTNORM_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
