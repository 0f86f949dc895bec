#pragma once
/// \file
/// What an action's exception says; nothing if it throws none.

#include <exception>
#include <functional>
#include <string>

inline std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}
