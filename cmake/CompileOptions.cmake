if(EXACTNORM_SANITIZE)
  add_compile_options(-fsanitize=${EXACTNORM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EXACTNORM_SANITIZE})
endif()

# The options of every target of this project; none reaches those who link the library.
function(exactnorm_compile_options target)
  # Without -ffp-contract=off compilers fuse a * b + c as they like, and the proofs of the kernels fail.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wsign-conversion -ffp-contract=off)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 sees overlaps and overflows in "literal" + std::string (its bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
  endif()
  if(EXACTNORM_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
