// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a command declares its options. CLI11 is all header: every file that includes it compiles the whole of it
/// again, which takes half a minute with the sanitizers. A file that only declares options needs this alone.

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace pcienic::cli {

/// An option that was added, to be described further. Valid for as long as its CLI::App.
class Option {
  public:
    explicit Option(CLI::Option& option) noexcept : option_{&option} {}

    /// What the help calls its value: "FILE".
    Option& type_name(const std::string& name);
    Option& required();
    /// Any other value is a mistake.
    Option& one_of(const std::vector<std::string>& values);
    /// Given without the other, or with the other, it is a mistake.
    Option& needs(const Option& other);
    Option& excludes(const Option& other);
    /// It takes one value each time that it is given; what follows that is an operand.
    Option& one_value_each();

  private:
    CLI::Option* option_;
};

/// The options and operands of one command line, by CLI11's rules for names: "-s,--slot" is an option, "file" an
/// operand. What a value goes to must live until the command line has been parsed.
class Options {
  public:
    explicit Options(CLI::App& app) noexcept : app_{&app} {}

    Option add_option(const std::string& names, std::string& value, const std::string& description);
    Option add_option(const std::string& names, std::vector<std::string>& values, const std::string& description);
    /// `take` may throw Failure.
    Option add_option(const std::string& names, std::function<void(const std::string&)> take,
                      const std::string& description);
    Option add_option(const std::string& names, std::function<void(const std::vector<std::string>&)> take,
                      const std::string& description);
    Option add_flag(const std::string& names, bool& value, const std::string& description);
    Option add_flag(const std::string& names, std::function<void()> given, const std::string& description);

    /// Adds a command, whose options may stand among those of this command line. `chosen` is called if it was given.
    Options add_command(const std::string& name, const std::string& description, std::function<void()> chosen);

  private:
    CLI::App* app_;
};

}  // namespace pcienic::cli
