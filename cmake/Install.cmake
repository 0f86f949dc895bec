include(CMakePackageConfigHelpers)

get_target_property(EXACTNORM_LIBRARY_TYPE exactnorm TYPE)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/exactnorm)
configure_package_config_file(cmake/exactnormConfig.cmake.in exactnormConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(exactnormConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS exactnorm EXPORT exactnorm
  ARCHIVE COMPONENT cpp
  LIBRARY COMPONENT cpp NAMELINK_COMPONENT cpp)
install(DIRECTORY include/exactnorm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT cpp)
install(EXPORT exactnorm NAMESPACE exactnorm:: DESTINATION ${package_dir} FILE exactnormTargets.cmake COMPONENT cpp)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/exactnormConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/exactnormConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT cpp)
