# Copies the library as it is now: cmake -DFROM=<folder of medsr> -DTO=<folder> -DWITHOUT=<regular expression> -P ...
get_filename_component(name "${FROM}" NAME)
file(REMOVE_RECURSE "${TO}/${name}")
file(COPY "${FROM}" DESTINATION "${TO}" REGEX "${WITHOUT}" EXCLUDE)
