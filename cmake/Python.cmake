# The module exactnorm._core and its stub. scikit-build-core (pyproject.toml) runs this; without it, tell CMake the
# interpreter (-DPython_EXECUTABLE=...), in which nanobind must be installed.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module NumPy OPTIONAL_COMPONENTS ${SKBUILD_SABI_COMPONENT})
execute_process(
  COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
  OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE nanobind_ROOT COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)

file(GLOB python_sources CONFIGURE_DEPENDS python/src/*.cpp)
nanobind_add_module(_core STABLE_ABI NB_STATIC NOMINSIZE ${python_sources})
target_link_libraries(_core PRIVATE exactnorm Python::NumPy)
exactnorm_compile_options(_core)

nanobind_add_stub(_core_stub
  MODULE _core OUTPUT _core.pyi PYTHON_PATH $<TARGET_FILE_DIR:_core> DEPENDS _core)

install(TARGETS _core LIBRARY DESTINATION exactnorm COMPONENT python)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/_core.pyi DESTINATION exactnorm COMPONENT python)
