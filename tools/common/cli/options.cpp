// SPDX-License-Identifier: MIT
#include "cli/options.hpp"

#include <CLI/CLI.hpp>
#include <utility>

namespace pcienic::cli {

Option& Option::type_name(const std::string& name) {
    option_->type_name(name);
    return *this;
}

Option& Option::required() {
    option_->required();
    return *this;
}

Option& Option::one_of(const std::vector<std::string>& values) {
    option_->check(CLI::IsMember(values));
    return *this;
}

Option& Option::needs(const Option& other) {
    option_->needs(other.option_);
    return *this;
}

Option& Option::excludes(const Option& other) {
    option_->excludes(other.option_);
    return *this;
}

Option& Option::one_value_each() {
    option_->type_size(1)->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args(false);
    return *this;
}

Option Options::add_option(const std::string& names, std::string& value, const std::string& description) {
    return Option{*app_->add_option(names, value, description)};
}

Option Options::add_option(const std::string& names, std::vector<std::string>& values, const std::string& description) {
    return Option{*app_->add_option(names, values, description)};
}

Option Options::add_option(const std::string& names, std::function<void(const std::string&)> take,
                           const std::string& description) {
    return Option{*app_->add_option_function<std::string>(names, std::move(take), description)};
}

Option Options::add_option(const std::string& names, std::function<void(const std::vector<std::string>&)> take,
                           const std::string& description) {
    return Option{*app_->add_option_function<std::vector<std::string>>(names, std::move(take), description)};
}

Option Options::add_flag(const std::string& names, bool& value, const std::string& description) {
    return Option{*app_->add_flag(names, value, description)};
}

Option Options::add_flag(const std::string& names, std::function<void()> given, const std::string& description) {
    return Option{*app_->add_flag_callback(names, std::move(given), description)};
}

Options Options::add_command(const std::string& name, const std::string& description, std::function<void()> chosen) {
    CLI::App* command = app_->add_subcommand(name, description);
    command->fallthrough();
    command->callback(std::move(chosen));
    return Options{*command};
}

}  // namespace pcienic::cli
