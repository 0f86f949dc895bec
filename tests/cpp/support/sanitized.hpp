#pragma once
/// \file
/// Whether the sanitizers look on. They are slow and look for bad accesses and overflow, which the first few
/// of many like cases show; the bits of all of them are tested without.

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif
